"""The stories of the simulated world: the events of a word problem, and the ways to put each sum into words.

Data only. `problems` draws the numbers and puts the events in a row; `simulation` makes the mistakes.
In the text of an event `{n} {m} {k} {l}` are numbers that it draws. In the text of a sum `{a}` and `{b}` are its operands, `{c}` is its
result and `{sum}` is the whole equation. All other braces are words of the story's cast. Sentences start with a small letter here; the
code capitalises them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sum:
    """One sum of an event, such as "x - n", and its possible wordings, such as "one wording | another wording".

    Operands: x is the running quantity, n m k l are the numbers of the event, #1 #2 are the results of its earlier sums, and a number is
    common knowledge. The sign = takes the right operand without change.
    """

    equation: str
    says: str
    states: str = ""  # a true sentence about the result; it answers a question that the problem does not ask
    misread: "Sum | None" = None  # the sum of a reader who misunderstands the condition
    skippable: bool = False  # a condition that is easy to forget
    conversion: bool = False  # from one unit to another


@dataclass(frozen=True, slots=True)
class Scene:
    """An event: a change of the running quantity, such as "before -> after". "-> after" opens a story; "a|b -> c" can follow a or b."""

    changes: str
    fact: str  # the sentence of the statement
    draws: Mapping[str, Sequence[int]]
    sums: Sequence[Sum]  # if empty, the event is a fact that no question needs
    asks: str = ""  # the question if the story ends here; if empty, it cannot end here
    answers: str = ""  # the sentence that answers it; `{c}` is the answer
    other_way: Sequence[Sum] = ()  # other sums with the same result
    asides: Sequence[Sum] = ()  # true sums that no question of the story needs


@dataclass(frozen=True, slots=True)
class Story:
    subject: str
    casts: Sequence[Mapping[str, str]]
    events: Sequence[Scene]


# fmt: off
PEOPLE = (
    ("Ann", "she", "her"), ("Ben", "he", "his"), ("Clara", "she", "her"), ("David", "he", "his"), ("Elena", "she", "her"),
    ("Felix", "he", "his"), ("Grace", "she", "her"), ("Hugo", "he", "his"), ("Ines", "she", "her"), ("Jonas", "he", "his"),
    ("Kira", "she", "her"), ("Leo", "he", "his"), ("Maria", "she", "her"), ("Nils", "he", "his"), ("Olive", "she", "her"),
    ("Pablo", "he", "his"), ("Rosa", "she", "her"), ("Samir", "he", "his"), ("Tara", "she", "her"), ("Yusuf", "he", "his"),
)

FEW, SOME, ROW, MANY = range(2, 7), range(2, 13), range(4, 13), range(5, 31)
THIRD = Sum("x / 3", "a third of {a} is {sum} | one third of the {a} is {sum}")


def casts(**words: str) -> tuple[Mapping[str, str], ...]:
    """Make casts from words in comma-separated lists: casts(goods="muffins, rolls", good="muffin, roll") makes two casts."""
    columns = [[word.strip() for word in column.split(",")] for column in words.values()]
    return tuple(dict(zip(words, row, strict=True)) for row in zip(*columns, strict=True))


BAKING = Story("Baking", casts(
    goods="muffins, cookies, rolls, scones, bagels, tarts", place="bakery, school fair, market, café, bakery, market"), [
    Scene("-> goods", "{who} bakes {n} trays of {m} {goods} for the {place}.", {"n": SOME, "m": ROW}, [
        Sum("n * m",
            "{a} trays of {b} {goods} are {sum} {goods} | {who} bakes {a} trays with {b} {goods} each, which makes {sum} {goods}"
            " | with {a} trays of {b} {goods}, {who} has {sum} {goods}", "{who} bakes {c} {goods} on the trays"),
    ]),
    Scene("-> goods", "{who} bakes {n} dozen {goods} for the {place}.", {"n": SOME}, [
        Sum("n * 12",
            "{a} dozen, with {b} in each dozen, are {sum} {goods} | {who} bakes {a} dozen {goods}, and a dozen is {b}, so that is {sum}",
            "{who} bakes {c} {goods} in the beginning", conversion=True),
    ]),
    Scene("goods -> goods", "{she} gives {n} of the {goods} to the neighbors.", {"n": MANY}, [
        Sum("x - n",
            "giving {b} of the {a} {goods} to the neighbors leaves {sum} | {who} gives away {b}, so of {a} {goods} there remain {sum}",
            skippable=True),
    ], "How many {goods} are left?", "{c} {goods} are left"),
    Scene("goods -> goods", "{n} of the {goods} get burned and have to be thrown away.", {"n": SOME}, [
        Sum("x - n", "{b} of the {a} {goods} are burned, so {sum} are still good | without the {b} burned ones, {a} {goods} become {sum}",
            skippable=True),
    ], "How many good {goods} are left?", "{c} good {goods} are left"),
    Scene("goods -> goods", "in the afternoon {she} bakes {k} more trays of {l} {goods}.", {"k": FEW, "l": ROW}, [
        Sum("k * l",
            "the afternoon brings {a} trays of {b}, which is {sum} more {goods} | {a} more trays of {b} {goods} are {sum} {goods}",
            "{who} bakes {c} {goods} in the afternoon"),
        Sum("x + #1",
            "together with the {b} from the afternoon, the {a} {goods} become {sum} | adding the {b} new ones to {a} gives {sum} {goods}"),
    ], "How many {goods} does {who} have now?", "{who} now has {c} {goods}"),
    Scene("goods -> goods", "each of {k} friends brings {l} {goods} too.", {"k": FEW, "l": SOME}, [
        Sum("k * l", "{a} friends bring {b} {goods} each, which is {sum} {goods} | the {a} friends with {b} each bring {sum} {goods}",
            "the friends bring {c} {goods}",
            Sum("k = l", "the {a} friends bring {b} {goods} in all | all {a} friends together bring {b} {goods}")),
        Sum("x + #1", "with the {b} from the friends, {a} {goods} become {sum} | {a} {goods} and the {b} of the friends are {sum}"),
    ], "How many {goods} are there now?", "there are now {c} {goods}"),
    Scene("goods -> goods", "a third of the {goods} are eaten at once.", {}, [
        THIRD,
        Sum("x - #1", "after {b} of the {a} {goods} are eaten, {sum} are left | eating {b} of {a} {goods} leaves {sum}",
            misread=Sum("x = #1",
                "of the {a} {goods} a third are left, which is {b} | a third are left over, so of {a} {goods} {b} remain")),
    ], "How many {goods} are left?", "{c} {goods} are left"),
    Scene("goods -> boxes", "{who} packs the {goods} into boxes of {n}.", {"n": range(3, 13)}, [
        Sum("x / n", "{a} {goods} in boxes of {b} fill {sum} boxes | packing {a} {goods} by {b} gives {sum} boxes",
            "the {goods} fill {c} boxes"),
    ], "How many boxes does {who} fill?", "{who} fills {c} boxes"),
    Scene("boxes -> dollars", "every box is sold for {n} dollars.", {"n": FEW}, [
        Sum("x * n", "{a} boxes at {b} dollars each bring {sum} dollars | selling {a} boxes for {b} dollars each brings {sum} dollars",
            "the boxes are sold for {c} dollars"),
    ], "How many dollars do the boxes bring?", "the boxes bring {c} dollars"),
    Scene("goods -> dollars", "all of the {goods} are then sold for {n} dollars each.", {"n": FEW}, [
        Sum("x * n",
            "{a} {goods} at {b} dollars each bring {sum} dollars | selling {a} {goods} for {b} dollars each brings {sum} dollars",
            "the {goods} are sold for {c} dollars"),
    ], "How many dollars do the {goods} bring?", "the {goods} bring {c} dollars"),
    Scene("dollars -> dollars", "the flour and the butter cost {who} {n} dollars.", {"n": MANY}, [
        Sum("x - n",
            "the flour and the butter cost {b} dollars, so of {a} dollars {sum} remain"
            " | {a} dollars less {b} dollars for flour and butter are {sum} dollars", skippable=True),
    ], "How many dollars does {who} earn after paying for the flour and the butter?", "{who} earns {c} dollars"),
    Scene("dollars -> half", "{who} and {friend} share this money equally.", {}, [
        Sum("x / 2", "sharing {a} dollars between the {b} of them gives {sum} dollars each | half of {a} dollars is {sum} dollars"),
    ], "How many dollars does {friend} get?", "{friend} gets {c} dollars"),
    Scene("goods -> goods", "the oven holds {n} trays at a time.", {"n": FEW}, []),
])

SHOPPING = Story("Shopping",
    casts(goods="notebooks, shirts, mugs, candles, toy cars, plants", others="pens, caps, plates, lamps, puzzles, flower pots"), [
    Scene("-> cost", "{who} buys {n} {goods} for {m} dollars each.", {"n": SOME, "m": SOME}, [
        Sum("n * m",
            "{a} {goods} at {b} dollars each cost {sum} dollars"
            " | {who} pays {b} dollars for each of {a} {goods}, so {a} of them cost {sum} dollars"
            " | the price of {a} {goods} at {b} dollars each is {sum} dollars", "the {goods} alone cost {c} dollars",
            Sum("n = m", "the {a} {goods} cost {b} dollars together | {who} pays {b} dollars for all {a} {goods}")),
    ]),
    Scene("cost -> cost", "{she} also buys {k} {others} for {l} dollars each.", {"k": FEW, "l": SOME}, [
        Sum("k * l", "{a} {others} at {b} dollars each cost {sum} dollars | the {a} {others} for {b} dollars each come to {sum} dollars",
            "the {others} alone cost {c} dollars"),
        Sum("x + #1",
            "together with the {others} for {b} dollars, {a} dollars become {sum} dollars"
            " | adding {b} dollars to {a} dollars gives {sum} dollars"),
    ], "How many dollars does {who} have to pay?", "{who} has to pay {c} dollars"),
    Scene("cost -> cost", "a coupon takes {n} dollars off the bill.", {"n": SOME}, [
        Sum("x - n",
            "the coupon takes {b} dollars off {a} dollars, which leaves {sum} dollars"
            " | with {b} dollars off, {a} dollars become {sum} dollars", skippable=True),
    ], "How many dollars is the bill?", "the bill is {c} dollars"),
    Scene("cost -> cost", "sending everything home costs {n} dollars more.", {"n": SOME}, [
        Sum("x + n",
            "sending costs {b} dollars more, so {a} dollars become {sum} dollars"
            " | with {b} dollars for sending, {a} dollars grow to {sum} dollars", skippable=True),
    ], "How many dollars does everything cost?", "everything costs {c} dollars"),
    Scene("cost -> change", "{she} pays with {n} dollars.", {"n": (50, 80, 100, 120, 150, 200)}, [
        Sum("n - x",
            "{who} pays with {a} dollars and {b} dollars are due, so the change is {sum} dollars"
            " | {a} dollars less {b} dollars are {sum} dollars", "{who} gets {c} dollars back"),
    ], "How many dollars does {who} get back?", "{who} gets {c} dollars back"),
    Scene("change -> change", "{she} had {n} dollars more at home.", {"n": MANY}, [
        Sum("x + n",
            "with the {b} dollars at home, {a} dollars become {sum} dollars | {a} dollars and {b} dollars at home are {sum} dollars",
            skippable=True),
    ], "How many dollars does {who} have in the end?", "{who} has {c} dollars in the end"),
    Scene("cost -> share", "{who} and {n} friends share the bill equally.", {"n": FEW}, [
        Sum("n + 1", "{a} friends and {who} are {sum} people | with {who}, the {a} friends make {sum} people",
            "{c} people share the bill", Sum("1 = n", "{b} people share the bill | the bill is shared by {b} people")),
        Sum("x / #1",
            "{a} dollars shared by {b} people are {sum} dollars each | splitting {a} dollars among {b} gives {sum} dollars each"),
    ], "How many dollars does each of them pay?", "each of them pays {c} dollars"),
    Scene("cost -> cost", "the shop closes at {n} o'clock.", {"n": range(5, 11)}, []),
])

TRAVEL = Story("Travel", casts(vehicle="bus, train, truck, van, ferry, tram"), [
    Scene("-> miles", "a {vehicle} travels {n} miles every hour for {m} hours.", {"n": range(8, 31), "m": FEW}, [
        Sum("n * m",
            "{a} miles an hour for {b} hours are {sum} miles | in {b} hours at {a} miles an hour the {vehicle} travels {sum} miles",
            "the {vehicle} travels {c} miles at its first speed", Sum("m = n", "in the {a} hours the {vehicle} travels {b} miles in all")),
    ]),
    Scene("-> miles", "a {vehicle} goes {n} miles in the morning and {m} miles in the afternoon.", {"n": MANY, "m": MANY}, [
        Sum("n + m",
            "{a} miles in the morning and {b} miles in the afternoon are {sum} miles | adding {a} miles and {b} miles gives {sum} miles",
            "by the evening of the first day the {vehicle} has gone {c} miles"),
    ], asides=[
        Sum("m - n", "the afternoon is longer than the morning by {sum} miles", "the afternoon is {c} miles longer than the morning"),
    ]),
    Scene("miles -> miles", "after a rest it goes {n} miles more.", {"n": MANY}, [
        Sum("x + n", "{a} miles and the {b} miles after the rest are {sum} miles | {b} miles more after {a} miles make {sum} miles",
            skippable=True),
    ], "How many miles does the {vehicle} go?", "the {vehicle} goes {c} miles"),
    Scene("miles -> miles", "then it travels {k} hours more at {l} miles an hour.", {"k": FEW, "l": range(8, 25)}, [
        Sum("k * l", "{a} more hours at {b} miles an hour are {sum} miles | the next {a} hours at {b} miles an hour bring {sum} miles",
            "the {vehicle} goes {c} miles at its new speed"),
        Sum("x + #1", "{a} miles and {b} miles are {sum} miles | adding {b} miles to {a} miles gives {sum} miles"),
    ], "How many miles does the {vehicle} travel altogether?", "the {vehicle} travels {c} miles altogether"),
    Scene("miles -> there and back", "then the {vehicle} comes back the same way.", {}, [
        Sum("x * 2", "there and back are {b} times {a} miles, so {sum} miles | the way back doubles {a} miles to {sum} miles",
            skippable=True),
    ], "How many miles is that there and back?", "there and back it is {c} miles"),
    Scene("miles -> rest", "the whole way is {n} miles long.", {"n": range(100, 201, 10)}, [
        Sum("n - x", "of {a} miles the {vehicle} has done {b}, so {sum} miles remain | {a} miles less {b} miles are {sum} miles",
            "{c} miles are still to go"),
    ], "How many miles are still to go?", "{c} miles are still to go"),
    Scene("rest -> hours", "the {vehicle} does the rest at {n} miles an hour.", {"n": SOME}, [
        Sum("x / n", "{a} miles at {b} miles an hour take {sum} hours | for {a} miles at {b} miles an hour it needs {sum} hours"),
    ], "How many hours does the rest take?", "the rest takes {c} hours"),
    Scene("miles|there and back -> gallons", "it needs one gallon of fuel for every {n} miles.", {"n": SOME}, [
        Sum("x / n",
            "{a} miles at {b} miles to the gallon need {sum} gallons | with one gallon for {b} miles, {a} miles take {sum} gallons",
            "the {vehicle} needs {c} gallons"),
    ], "How many gallons does it need?", "it needs {c} gallons"),
    Scene("gallons -> dollars", "a gallon costs {n} dollars.", {"n": FEW}, [
        Sum("x * n",
            "{a} gallons at {b} dollars each cost {sum} dollars | paying {b} dollars for each of {a} gallons comes to {sum} dollars"),
    ], "How many dollars does the fuel cost?", "the fuel costs {c} dollars"),
    Scene("miles -> miles", "{n} people ride along.", {"n": MANY}, []),
])

SAVINGS = Story("Savings", casts(
    thing="bicycle, guitar, tent, camera, scooter, watch", relative="sister, cousin, brother, uncle, aunt, mother"), [
    Scene("-> dollars", "{who} saves {n} dollars every week for {m} weeks.", {"n": SOME, "m": SOME}, [
        Sum("n * m", "{a} dollars a week for {b} weeks are {sum} dollars | in {b} weeks with {a} dollars each, {who} saves {sum} dollars",
            "{who} saves {c} dollars in these weeks", Sum("m = n", "in all {a} weeks together {who} saves {b} dollars")),
    ]),
    Scene("-> dollars", "{who} wants to buy a {thing} and saves {n} dollars every day for {m} weeks.", {"n": FEW, "m": FEW}, [
        Sum("m * 7", "{a} weeks of {b} days are {sum} days | there are {b} days in each of the {a} weeks, so {sum} days", conversion=True),
        Sum("#1 * n", "{b} dollars a day for {a} days are {sum} dollars | in {a} days with {b} dollars each, {who} saves {sum} dollars",
            "{who} saves {c} dollars in these weeks"),
    ], "How many dollars does {who} save?", "{who} saves {c} dollars"),
    Scene("dollars -> dollars", "{who} already had {n} dollars before.", {"n": MANY}, [
        Sum("x + n",
            "with the {b} dollars from before, {a} dollars become {sum} dollars"
            " | {a} dollars and the earlier {b} dollars are {sum} dollars", skippable=True),
    ], "How many dollars does {who} have now?", "{who} now has {c} dollars"),
    Scene("dollars -> dollars", "{her} {relative} then gives {who} {n} dollars as a present.", {"n": MANY}, [
        Sum("x + n",
            "the {relative} adds {b} dollars to {a} dollars, which makes {sum} dollars"
            " | with the present of {b} dollars, {a} dollars become {sum} dollars", skippable=True),
    ], "How many dollars does {who} have after the present?", "{who} has {c} dollars after the present"),
    Scene("dollars -> dollars", "{who} spends {n} dollars on a {thing}.", {"n": MANY}, [
        Sum("x - n",
            "the {thing} costs {b} of the {a} dollars, so {sum} dollars are left"
            " | paying {b} dollars from {a} dollars leaves {sum} dollars", skippable=True),
    ], "How many dollars does {who} have left?", "{who} has {c} dollars left"),
    Scene("dollars -> dollars", "{who} lends a third of the money to {third}.", {}, [
        THIRD,
        Sum("x - #1",
            "after lending {b} of {a} dollars, {who} has {sum} dollars | lending {b} dollars from {a} dollars leaves {sum} dollars",
            misread=Sum("x = #1",
                "of {a} dollars {who} keeps a third, which is {b} dollars | a third remains, so of {a} dollars {b} dollars are left")),
    ], "How many dollars does {who} keep?", "{who} keeps {c} dollars"),
    Scene("dollars -> friend's dollars", "{friend} has {n} dollars more than {who}.", {"n": SOME}, [
        Sum("x + n",
            "{friend} has {b} dollars more than {a} dollars, so {sum} dollars | {b} dollars more than {a} dollars are {sum} dollars",
            misread=Sum("x * n",
                "{friend} has {b} times as much as {a} dollars, so {sum} dollars | {b} times as much as {a} dollars is {sum} dollars")),
    ], "How many dollars does {friend} have?", "{friend} has {c} dollars"),
    Scene("dollars -> both", "{friend} has {n} dollars less than {who}.", {"n": SOME}, [
        Sum("x - n",
            "{friend} has {b} dollars less than {a} dollars, so {sum} dollars | {b} dollars less than {a} dollars are {sum} dollars",
            "{friend} alone has {c} dollars",
            Sum("x + n",
                "{friend} has {b} dollars more than {a} dollars, so {sum} dollars | {b} dollars more than {a} dollars are {sum} dollars")),
        Sum("x + #1",
            "{who} with {a} dollars and {friend} with {b} dollars have {sum} dollars | {a} dollars and {b} dollars are {sum} dollars"),
    ], "How many dollars do {who} and {friend} have together?", "together they have {c} dollars"),
])

TICKETS = Story("Tickets",
    casts(hall="theater, cinema, concert hall, circus tent, playhouse, school hall", act="band, choir, clown, pianist, dancer, magician"), [
    Scene("-> seats", "a {hall} has {n} rows of {m} seats.", {"n": SOME, "m": ROW}, [
        Sum("n * m", "{a} rows of {b} seats are {sum} seats | the {hall} has {a} rows with {b} seats each, which makes {sum} seats",
            "the {hall} has {c} seats in its rows"),
    ]),
    Scene("seats -> seats", "its balcony has {k} rows of {l} seats.", {"k": FEW, "l": ROW}, [
        Sum("k * l", "the balcony with {a} rows of {b} has {sum} seats | {a} rows of {b} in the balcony are {sum} seats",
            "the balcony has {c} seats"),
        Sum("x + #1", "{a} seats and the {b} of the balcony are {sum} seats | with {b} seats in the balcony, {a} become {sum} seats"),
    ], "How many seats are there?", "there are {c} seats"),
    Scene("seats -> people", "on {day} {n} seats stay empty.", {"n": MANY}, [
        Sum("x - n", "{b} of the {a} seats stay empty, so {sum} people come | with {b} of {a} seats empty, {sum} people come",
            skippable=True),
    ], "How many people come on {day}?", "{c} people come on {day}"),
    Scene("seats -> people", "on {day} every seat is taken, and {n} people have to stand.", {"n": SOME}, [
        Sum("x + n", "{a} people sit and {b} people stand, which makes {sum} people | with {b} people standing, {a} become {sum} people",
            skippable=True),
    ], "How many people come on {day}?", "{c} people come on {day}"),
    Scene("people -> payers", "{n} of the people are children, who do not pay.", {"n": SOME}, [
        Sum("x - n",
            "without the {b} children, {a} people become {sum} who pay | {b} of the {a} people are children, so {sum} people pay",
            "{c} people have to pay", skippable=True),
    ], "How many people pay?", "{c} people pay"),
    Scene("payers -> dollars", "everybody else pays {n} dollars for a ticket.", {"n": FEW}, [
        Sum("x * n", "{a} tickets at {b} dollars each bring {sum} dollars | {a} people paying {b} dollars each bring {sum} dollars",
            "the tickets bring {c} dollars"),
    ], "How many dollars do the tickets bring?", "the tickets bring {c} dollars"),
    Scene("people -> dollars", "a ticket costs {n} dollars.", {"n": FEW}, [
        Sum("x * n", "{a} people at {b} dollars each pay {sum} dollars | {a} tickets for {b} dollars each bring {sum} dollars",
            "the tickets bring {c} dollars"),
    ], "How many dollars do the tickets bring?", "the tickets bring {c} dollars"),
    Scene("dollars -> dollars", "the {act} gets {n} dollars of this money.", {"n": MANY}, [
        Sum("x - n",
            "after paying {b} dollars to the {act}, {a} dollars become {sum} dollars"
            " | the {act} takes {b} of {a} dollars, which leaves {sum} dollars", skippable=True),
    ], "How many dollars does the {hall} keep?", "the {hall} keeps {c} dollars"),
    Scene("seats -> seats", "the show lasts {n} minutes.", {"n": range(40, 91, 5)}, []),
])

FARMING = Story("Farming",
    casts(birds="hens, ducks, geese, quails, hens, ducks", town="the village, the town, the market, the harbor, the school, the inn"), [
    Scene("-> weekly eggs", "{who} keeps {n} {birds}, and each of them lays {m} eggs a week.", {"n": SOME, "m": FEW}, [
        Sum("n * m", "{a} {birds} laying {b} eggs each give {sum} eggs | with {b} eggs from each of {a} {birds} there are {sum} eggs",
            "the {birds} lay {c} eggs in one week", Sum("n = m", "all {a} {birds} together lay {b} eggs")),
    ]),
    Scene("-> weekly eggs", "{who} keeps {n} white {birds} and {m} brown {birds}, and each of them lays {k} eggs a week.",
        {"n": SOME, "m": SOME, "k": FEW}, [
        Sum("n + m", "{a} white and {b} brown {birds} are {sum} {birds} | {who} keeps {a} and {b} {birds}, together {sum} {birds}",
            "{who} keeps {c} {birds}"),
        Sum("#1 * k", "{a} {birds} with {b} eggs each lay {sum} eggs | laying {b} eggs each, {a} {birds} give {sum} eggs",
            "the {birds} lay {c} eggs in one week"),
    ], "How many eggs do the {birds} lay in a week?", "the {birds} lay {c} eggs in a week", other_way=[
        Sum("n * k", "the {a} white {birds} with {b} eggs each lay {sum} eggs", "the white {birds} lay {c} eggs"),
        Sum("m * k", "the {a} brown {birds} with {b} eggs each lay {sum} eggs", "the brown {birds} lay {c} eggs"),
        Sum("#1 + #2", "{a} eggs and {b} eggs are {sum} eggs", "the {birds} lay {c} eggs in one week"),
    ]),
    Scene("weekly eggs -> eggs", "{she} collects the eggs of {k} weeks.", {"k": FEW}, [
        Sum("x * k", "{b} weeks with {a} eggs each bring {sum} eggs | collecting {a} eggs in each of {b} weeks gives {sum} eggs",
            skippable=True),
    ], "How many eggs does {who} collect?", "{who} collects {c} eggs"),
    Scene("weekly eggs|eggs -> eggs", "{n} eggs break on the way to {town}.", {"n": SOME}, [
        Sum("x - n", "{b} of the {a} eggs break, so {sum} eggs are whole | without the {b} broken ones, {a} eggs become {sum}",
            skippable=True),
    ], "How many whole eggs reach {town}?", "{c} whole eggs reach {town}"),
    Scene("weekly eggs|eggs -> eggs", "{friend} adds {n} eggs from {friend_her} own farm.", {"n": MANY}, [
        Sum("x + n", "{a} eggs and the {b} eggs of {friend} are {sum} eggs | with {b} eggs more, {a} eggs become {sum} eggs",
            skippable=True),
    ], "How many eggs do they have together?", "together they have {c} eggs"),
    Scene("weekly eggs|eggs -> cartons", "the eggs are packed by the dozen, one dozen in each carton.", {}, [
        Sum("x / 12", "{a} eggs by {b} to the dozen are {sum} cartons | a dozen is {b}, so {a} eggs fill {sum} cartons",
            "the eggs fill {c} cartons", conversion=True),
    ], "How many cartons are filled?", "{c} cartons are filled"),
    Scene("weekly eggs|eggs -> cartons", "the eggs are packed into cartons of {n}.", {"n": range(4, 11)}, [
        Sum("x / n", "{a} eggs in cartons of {b} fill {sum} cartons | packing {a} eggs by {b} fills {sum} cartons",
            "the eggs fill {c} cartons"),
    ], "How many cartons are filled?", "{c} cartons are filled"),
    Scene("cartons -> dollars", "a carton is sold for {n} dollars.", {"n": FEW}, [
        Sum("x * n",
            "{a} cartons at {b} dollars each bring {sum} dollars | selling {a} cartons for {b} dollars each brings {sum} dollars",
            "the cartons bring {c} dollars"),
    ], "How many dollars do the cartons bring?", "the cartons bring {c} dollars"),
    Scene("dollars -> dollars", "the corn for the {birds} costs {n} dollars.", {"n": SOME}, [
        Sum("x - n",
            "the corn costs {b} of the {a} dollars, so {sum} dollars remain"
            " | paying {b} dollars for corn from {a} dollars leaves {sum} dollars", skippable=True),
    ], "How many dollars does {who} keep after paying for the corn?", "{who} keeps {c} dollars"),
    Scene("weekly eggs|eggs -> eggs", "there are {n} cows on the farm, too.", {"n": SOME}, []),
])

READING = Story("Reading", casts(book="novel, fairy tale, diary, comic book, travel book, history book"), [
    Scene("-> pages", "{who} has a {book} of {n} pages and reads {m} pages a day for {k} days.",
        {"n": range(60, 201, 5), "m": SOME, "k": FEW}, [
        Sum("m * k", "{a} pages a day for {b} days are {sum} pages | in {b} days with {a} pages each, {who} reads {sum} pages",
            "{who} reads {c} pages in these days", Sum("k = m", "in the {a} days {who} reads {b} pages altogether")),
        Sum("n - #1",
            "of {a} pages {b} are read, so {sum} pages are left | the {book} has {a} pages, and after {b} there are {sum} to read",
            "{c} pages are left after these days"),
    ], "How many pages are left to read?", "{c} pages are left to read"),
    Scene("-> pages", "{who} has a {book} of {n} pages and reads {m} pages on {day}.", {"n": range(60, 201, 5), "m": MANY}, [
        Sum("n - m", "of {a} pages {b} are read on {day}, so {sum} are left | reading {b} of {a} pages leaves {sum} pages",
            "{c} pages are left after {day}"),
    ]),
    Scene("pages -> pages", "the last {n} pages are only pictures, which {she} leaves out.", {"n": SOME}, [
        Sum("x - n",
            "without the {b} pages of pictures, {a} pages become {sum} | {b} of the {a} pages are pictures, so {sum} pages are left",
            skippable=True),
    ], "How many pages does {who} still have to read?", "{who} still has to read {c} pages"),
    Scene("pages -> pages", "on the weekend {she} reads {k} pages in the morning and {l} pages in the evening.", {"k": SOME, "l": SOME}, [
        Sum("k + l",
            "{a} pages in the morning and {b} in the evening are {sum} pages | the weekend brings {a} and {b} pages, together {sum} pages",
            "{who} reads {c} pages on the weekend"),
        Sum("x - #1",
            "{a} pages less the {b} pages of the weekend are {sum} pages | after {b} more of the {a} pages, {sum} pages are left"),
    ], "How many pages are left after the weekend?", "{c} pages are left after the weekend", other_way=[
        Sum("x - k", "the morning takes {b} of the {a} pages, which leaves {sum}", "{c} pages are left after the morning"),
        Sum("#1 - l", "the evening takes {b} of the {a} pages, which leaves {sum}"),
    ]),
    Scene("pages -> pages", "{she} reads half of the rest on a train.", {}, [
        Sum("x / 2", "half of {a} pages is {sum} pages | halving the {a} pages that are left gives {sum} pages", skippable=True),
    ], "How many pages does {who} have to read after the train?", "{who} has to read {c} pages after the train"),
    Scene("pages -> days", "{she} reads the rest at {n} pages a day.", {"n": SOME}, [
        Sum("x / n", "{a} pages at {b} pages a day take {sum} days | reading {b} of {a} pages each day takes {sum} days",
            "{who} needs {c} days for the rest"),
    ], "How many days does {who} need for the rest?", "{who} needs {c} days for the rest"),
    Scene("days -> days", "before that, {she} rests for {n} days.", {"n": SOME}, [
        Sum("x + n", "{a} days and {b} days of rest are {sum} days | with {b} days of rest, {a} days become {sum} days", skippable=True),
    ], "In how many days is {who} done?", "{who} is done in {c} days"),
    Scene("pages -> pages", "the {book} has {n} chapters.", {"n": SOME}, []),
])

PERIMETER = [
    Sum("n + m",
        "{a} yards long and {b} yards wide are {sum} yards for one long and one short side"
        " | one long side of {a} yards and one short side of {b} yards are {sum} yards", "half of the way around is {c} yards"),
    Sum("#1 * 2", "the way around is {b} times {a} yards, so {sum} yards | both pairs of sides are {sum} yards",
        "the way around is {c} yards"),
]
AROUND = [
    Sum("n * 2", "the {b} long sides of {a} yards are {sum} yards", "the long sides are {c} yards"),
    Sum("m * 2", "the {b} short sides of {a} yards are {sum} yards", "the short sides are {c} yards"),
    Sum("#1 + #2", "{a} yards and {b} yards are {sum} yards around", "the way around is {c} yards"),
]
AREA = Sum("n * m", "the area is {sum} square yards", "the area is {c} square yards")

RECTANGLES = Story("Rectangles", casts(
    place="garden, field, lawn, meadow, pasture, park", plant="roses, tulips, bushes, beans, daisies, pumpkins"), [
    Scene("-> yards", "a rectangular {place} is {n} yards long and {m} yards wide, and {who} wants to put a fence around it.",
        {"n": range(10, 31), "m": range(3, 10)}, PERIMETER, "How many yards of fence does {who} need?", "{who} needs {c} yards of fence",
        other_way=AROUND, asides=[AREA]),
    Scene("yards -> yards", "a gate of {n} yards needs no fence.", {"n": FEW}, [
        Sum("x - n",
            "the gate saves {b} of the {a} yards, so {sum} yards are needed"
            " | without the {b} yards of the gate, {a} yards become {sum} yards", skippable=True),
    ], "How many yards of fence are needed?", "{c} yards of fence are needed"),
    Scene("yards -> yards", "another {n} yards of fence divide the {place} in two.", {"n": SOME}, [
        Sum("x + n",
            "with {b} yards to divide the {place}, {a} yards become {sum} yards | {a} yards and {b} yards in the middle are {sum} yards",
            skippable=True),
    ], "How many yards of fence does {who} use?", "{who} uses {c} yards of fence"),
    Scene("yards -> feet", "fence is sold by the foot, and a yard is three feet.", {}, [
        Sum("x * 3", "a yard is {b} feet, so {a} yards are {sum} feet | {a} yards of {b} feet each are {sum} feet", conversion=True),
    ], "How many feet of fence must {who} buy?", "{who} must buy {c} feet of fence"),
    Scene("yards -> dollars", "a yard of fence costs {n} dollars.", {"n": FEW}, [
        Sum("x * n", "{a} yards at {b} dollars each cost {sum} dollars | paying {b} dollars for each of {a} yards comes to {sum} dollars",
            "the fence alone costs {c} dollars"),
    ], "How many dollars does the fence cost?", "the fence costs {c} dollars"),
    Scene("dollars -> dollars", "a worker gets {n} dollars for putting it up.", {"n": MANY}, [
        Sum("x + n",
            "with {b} dollars for the worker, {a} dollars become {sum} dollars"
            " | {a} dollars and {b} dollars for the work are {sum} dollars", skippable=True),
    ], "How many dollars does {who} pay in all?", "{who} pays {c} dollars in all"),
    Scene("-> square yards", "a rectangular {place} is {n} yards long and {m} yards wide.", {"n": range(8, 16), "m": range(3, 8)}, [
        Sum("n * m",
            "a {place} of {a} by {b} yards has an area of {sum} square yards | {a} yards long and {b} yards wide make {sum} square yards",
            "the whole {place} has {c} square yards", Sum("n + m", "{a} yards and {b} yards are {sum} yards for the {place}")),
    ]),
    Scene("square yards -> square yards", "a pond takes up {n} square yards of it.", {"n": SOME}, [
        Sum("x - n",
            "the pond takes {b} of the {a} square yards, which leaves {sum}"
            " | without {b} square yards of pond, {a} become {sum} square yards", skippable=True),
    ], "How many square yards are dry?", "{c} square yards are dry"),
    Scene("square yards -> plants", "{who} sets {n} {plant} in each square yard of the ground.", {"n": FEW}, [
        Sum("x * n",
            "{a} square yards with {b} {plant} each hold {sum} {plant}"
            " | setting {b} {plant} in each of {a} square yards takes {sum} {plant}", "{who} sets {c} {plant}"),
    ], "How many {plant} does {who} set?", "{who} sets {c} {plant}"),
    Scene("plants -> plants", "{n} of the {plant} are lost to snails.", {"n": SOME}, [
        Sum("x - n", "the snails take {b} of the {a} {plant}, which leaves {sum} | {a} {plant} less {b} for the snails are {sum}",
            skippable=True),
    ], "How many {plant} are left?", "{c} {plant} are left"),
    Scene("plants -> dollars", "every one of the {plant} costs {n} dollars.", {"n": FEW}, [
        Sum("x * n", "{a} {plant} at {b} dollars each cost {sum} dollars | buying {a} {plant} for {b} dollars each costs {sum} dollars"),
    ], "How many dollars do the {plant} cost?", "the {plant} cost {c} dollars"),
])

SHARING = Story("Sharing", casts(
    goods="marbles, stickers, shells, beads, nuts, buttons", holder="bags, packs, buckets, boxes, bags, jars"), [
    Scene("-> goods", "{who} has {n} {holder} of {m} {goods}.", {"n": SOME, "m": ROW}, [
        Sum("n * m", "{a} {holder} of {b} {goods} hold {sum} {goods} | with {b} {goods} in each of {a} {holder}, {who} has {sum} {goods}",
            "{who} has {c} {goods} in the {holder}", Sum("n = m", "in the {a} {holder} there are {b} {goods} altogether")),
    ]),
    Scene("-> goods", "{who} finds {n} {goods}, and {friend} finds {m} times as many; they put all of them together.",
        {"n": MANY, "m": FEW}, [
        Sum("n * m", "{friend} finds {b} times as many as {a}, so {sum} {goods} | {b} times as many as {a} are {sum} {goods}",
            "{friend} finds {c} {goods}",
            Sum("n + m", "{friend} finds {b} more than {a}, so {sum} {goods} | {b} more than {a} are {sum} {goods}")),
        Sum("n + #1", "{a} {goods} and {b} {goods} are {sum} {goods} | together they find {a} and {b}, so {sum} {goods}",
            "they find {c} {goods} in the beginning"),
    ], "How many {goods} do they find together?", "together they find {c} {goods}"),
    Scene("goods -> goods", "{n} of the {goods} are broken and thrown away.", {"n": SOME}, [
        Sum("x - n", "{b} of the {a} {goods} are broken, so {sum} are good | throwing away {b} of {a} {goods} leaves {sum}",
            skippable=True),
    ], "How many good {goods} are there?", "there are {c} good {goods}"),
    Scene("goods -> goods", "a third of the {goods} go to a little cousin.", {}, [
        THIRD,
        Sum("x - #1",
            "after the cousin gets {b} of {a} {goods}, {sum} are left | giving {b} of the {a} {goods} to the cousin leaves {sum}",
            misread=Sum("x = #1",
                "the cousin leaves a third, so of {a} {goods} there are {b} | of {a} {goods} only a third are left, which is {b}")),
    ], "How many {goods} are left?", "{c} {goods} are left"),
    Scene("goods -> each", "the {goods} are shared equally among {n} children.", {"n": SOME}, [
        Sum("x / n", "{a} {goods} shared by {b} children are {sum} each | sharing {a} {goods} among {b} children gives {sum} to each",
            "at the sharing each child gets {c} {goods}"),
    ], "How many {goods} does each child get?", "each child gets {c} {goods}"),
    Scene("each -> total", "before the sharing, each child already had {n} {goods}.", {"n": SOME}, [
        Sum("x + n", "with the {b} from before, {a} {goods} become {sum} | each child had {b} and gets {a}, which makes {sum}",
            skippable=True),
    ], "How many {goods} does each child have now?", "each child now has {c} {goods}"),
    Scene("each -> won", "one of the children, {third}, then wins {n} times as many {goods} as {third_she} got at first.", {"n": FEW}, [
        Sum("x * n", "{third} wins {b} times as many as {a}, so {sum} {goods} | {b} times as many as {a} are {sum} {goods}",
            misread=Sum("x + n", "{third} wins {b} more than {a}, so {sum} {goods} | {b} more than {a} are {sum} {goods}")),
    ], "How many {goods} does {third} win?", "{third} wins {c} {goods}"),
    Scene("goods -> goods", "the youngest child is {n} years old.", {"n": range(3, 8)}, []),
])

TIME = Story("Time",
    casts(film="film, concert, play, circus, match, show", activity="the piano, chess, the violin, juggling, archery, the drums"), [
    Scene("-> minutes", "on {day}, {who} goes to a {film} of {n} hours and {m} minutes.", {"n": (2, 3), "m": MANY}, [
        Sum("n * 60", "{a} hours of {b} minutes are {sum} minutes | an hour has {b} minutes, so {a} hours are {sum} minutes",
            "the full hours are {c} minutes", conversion=True),
        Sum("#1 + m", "{a} minutes and {b} minutes are {sum} minutes | with {b} minutes more, {a} minutes become {sum} minutes",
            "the {film} lasts {c} minutes"),
    ], "How many minutes does the {film} last?", "the {film} lasts {c} minutes"),
    Scene("-> practice", "{who} practices {activity} for {n} minutes every day for {m} weeks.", {"n": (3, 4, 5, 6, 8, 10), "m": FEW}, [
        Sum("m * 7", "{a} weeks of {b} days are {sum} days | a week has {b} days, so {a} weeks are {sum} days",
            "{who} practices on {c} days", conversion=True),
        Sum("#1 * n",
            "on {a} days with {b} minutes each, {who} practices {sum} minutes | {b} minutes on each of {a} days are {sum} minutes",
            "{who} practices {c} minutes alone"),
    ], "How many minutes does {who} practice?", "{who} practices {c} minutes"),
    Scene("minutes -> minutes", "after that, {who} talks with {friend} for {n} minutes.", {"n": MANY}, [
        Sum("x + n",
            "with the talk of {b} minutes, {a} minutes become {sum} minutes | {a} minutes and {b} minutes of talking are {sum} minutes",
            skippable=True),
    ], "How many minutes is that in all?", "in all it is {c} minutes"),
    Scene("minutes -> minutes", "{k} breaks of {l} minutes have to be added.", {"k": FEW, "l": SOME}, [
        Sum("k * l", "{a} breaks of {b} minutes take {sum} minutes | the {a} breaks with {b} minutes each are {sum} minutes",
            "the breaks take {c} minutes",
            Sum("k = l", "the {a} breaks take {b} minutes altogether | all {a} breaks together take {b} minutes")),
        Sum("x + #1",
            "{a} minutes and {b} minutes of breaks are {sum} minutes"
            " | adding the breaks of {b} minutes to {a} minutes gives {sum} minutes"),
    ], "How many minutes does it take with the breaks?", "with the breaks it takes {c} minutes"),
    Scene("minutes -> minutes", "{n} minutes of this time are already over.", {"n": MANY}, [
        Sum("x - n", "{b} of the {a} minutes are over, so {sum} minutes are left | after {b} of {a} minutes there are {sum} minutes left",
            skippable=True),
    ], "How many minutes are left?", "{c} minutes are left"),
    Scene("minutes|practice -> friend", "{friend} needs {n} minutes less than {who}.", {"n": SOME}, [
        Sum("x - n",
            "{friend} needs {b} minutes less than {a} minutes, so {sum} minutes | {b} minutes less than {a} minutes are {sum} minutes",
            misread=Sum("x + n",
                "{friend} needs {b} minutes more than {a} minutes, so {sum} minutes"
                " | {b} minutes more than {a} minutes are {sum} minutes")),
    ], "How many minutes does {friend} need?", "{friend} needs {c} minutes"),
    Scene("minutes|practice -> parts", "the time is cut into parts of {n} minutes.", {"n": range(4, 13)}, [
        Sum("x / n", "{a} minutes in parts of {b} minutes are {sum} parts | cutting {a} minutes by {b} gives {sum} parts"),
    ], "How many parts are there?", "there are {c} parts"),
    Scene("practice -> practice", "in the holidays {she} practices {n} minutes more.", {"n": MANY}, [
        Sum("x + n",
            "with {b} minutes in the holidays, {a} minutes become {sum} minutes"
            " | {a} minutes and {b} minutes in the holidays are {sum} minutes", skippable=True),
    ], "How many minutes does {who} practice with the holidays?", "with the holidays {who} practices {c} minutes"),
    Scene("practice -> practice", "{who} is ill and misses {n} minutes of practice.", {"n": SOME}, [
        Sum("x - n", "missing {b} of {a} minutes leaves {sum} minutes | {a} minutes less the {b} minutes missed are {sum} minutes",
            skippable=True),
    ], "How many minutes does {who} really practice?", "{who} really practices {c} minutes"),
    Scene("minutes -> minutes", "it starts at {n} o'clock.", {"n": range(3, 10)}, []),
])

MORE = Sum("n + m", "{friend} has {b} more than {a}, so {sum} {goods} | {b} more than {a} are {sum} {goods}")
TIMES = Sum("n * m", "{friend} has {b} times as many as {a}, so {sum} {goods} | {b} times as many as {a} are {sum} {goods}")
FEWER = Sum("n - m", "{friend} has {b} fewer than {a}, so {sum} {goods} | {b} fewer than {a} are {sum} {goods}")


def compared(fact: str, right: Sum, misread: Sum) -> Scene:
    """Make an opening event that gives the share of the second person by a comparison."""
    return Scene("-> goods", fact, {"n": range(5, 41), "m": SOME}, [
        Sum(right.equation, right.says, "{friend} alone has {c} {goods}", misread),
        Sum("n + #1", "{who} with {a} and {friend} with {b} have {sum} {goods} | {a} {goods} and {b} {goods} are {sum} {goods}",
            "{who} and {friend} have {c} {goods}"),
    ], "How many {goods} do {who} and {friend} have together?", "together they have {c} {goods}")


COLLECTING = Story("Collecting", casts(goods="stamps, coins, postcards, badges, dolls, model cars"), [
    compared("{who} has {n} {goods}, and {friend} has {m} times as many.", TIMES, MORE),
    compared("{who} has {n} {goods}, and {friend} has {m} more than {who}.", MORE, TIMES),
    compared("{who} has {n} {goods}, and {friend} has {m} fewer than {who}.", FEWER, MORE),
    compared("{who} has {n} {goods}, which is {m} fewer than {friend} has.", MORE, FEWER),
    Scene("goods -> third's goods", "{third} has {n} {goods} more than the two of them together.", {"n": SOME}, [
        Sum("x + n", "{third} has {b} more than {a}, so {sum} {goods} | {b} more than {a} are {sum} {goods}",
            misread=Sum("x * n", "{third} has {b} times as many as {a}, so {sum} {goods} | {b} times as many as {a} are {sum} {goods}")),
    ], "How many {goods} does {third} have?", "{third} has {c} {goods}"),
    Scene("goods -> goods", "they sell {n} of them.", {"n": MANY}, [
        Sum("x - n", "selling {b} of the {a} {goods} leaves {sum} | {b} of the {a} {goods} are sold, so {sum} are left", skippable=True),
    ], "How many of these {goods} are left?", "{c} of these {goods} are left"),
    Scene("goods -> pages", "they put these {goods} into an album with {n} on each page.", {"n": SOME}, [
        Sum("x / n", "{a} {goods} with {b} on each page fill {sum} pages | putting {a} {goods} on pages of {b} fills {sum} pages",
            "the {goods} fill {c} pages"),
    ], "How many pages do they fill?", "they fill {c} pages"),
    Scene("pages -> pages", "the album has {n} empty pages besides.", {"n": SOME}, [
        Sum("x + n", "with {b} empty pages, {a} pages become {sum} pages | {a} full pages and {b} empty pages are {sum} pages",
            skippable=True),
    ], "How many pages does the album have?", "the album has {c} pages"),
    Scene("goods -> dollars", "each of these {goods} is worth {n} dollars.", {"n": FEW}, [
        Sum("x * n",
            "{a} {goods} worth {b} dollars each are worth {sum} dollars"
            " | at {b} dollars for each of {a} {goods} the worth is {sum} dollars", "these {goods} are worth {c} dollars"),
    ], "How many dollars are these {goods} worth?", "these {goods} are worth {c} dollars"),
    Scene("goods -> goods", "{who} began to collect {n} years ago.", {"n": FEW}, []),
])

SPORTS = Story("Sports", casts(team="Falcons, Tigers, Wolves, Bears, Sharks, Eagles"), [
    Scene("-> points", "playing basketball for the {team} on {day}, {who} makes {n} shots of three points and {m} shots of two points.",
        {"n": SOME, "m": SOME}, [
        Sum("n * 3", "{a} shots of {b} points are {sum} points | the {a} long shots at {b} points each bring {sum} points",
            "the shots of three bring {c} points"),
        Sum("m * 2", "{a} shots of {b} points are {sum} points | the {a} short shots at {b} points each bring {sum} points",
            "the shots of two bring {c} points"),
        Sum("#1 + #2", "{a} points and {b} points are {sum} points | together, {a} and {b} points are {sum} points",
            "{who} scores {c} points with these shots"),
    ], "How many points does {who} score?", "{who} scores {c} points", asides=[
        Sum("n + m", "{who} makes {sum} shots altogether", "{who} makes {c} shots"),
    ]),
    Scene("-> points", "{who} scores {n} points in each of {m} games for the {team}.", {"n": SOME, "m": FEW}, [
        Sum("n * m", "{a} points in each of {b} games are {sum} points | {b} games with {a} points each bring {sum} points",
            "{who} scores {c} points in these games", Sum("m = n", "in the {a} games {who} scores {b} points altogether")),
    ]),
    Scene("points -> points", "{she} also scores {n} free throws of one point.", {"n": SOME}, [
        Sum("x + n", "{a} points and the {b} free throws are {sum} points | with {b} points from free throws, {a} become {sum} points",
            skippable=True),
    ], "How many points does {who} score in all?", "{who} scores {c} points in all"),
    Scene("points -> points", "for fouls, {n} points are taken away.", {"n": FEW}, [
        Sum("x - n", "the fouls cost {b} of the {a} points, so {sum} points remain | taking away {b} of {a} points leaves {sum} points",
            skippable=True),
    ], "How many points does {who} keep?", "{who} keeps {c} points"),
    Scene("points -> team points", "the other players of the {team} score {n} times as many points as {who}.", {"n": FEW}, [
        Sum("x * n", "the others score {b} times as many as {a}, so {sum} points | {b} times as many as {a} points are {sum} points",
            "the others score {c} points",
            Sum("x + n", "the others score {b} more than {a}, so {sum} points | {b} more than {a} points are {sum} points")),
        Sum("x + #1", "{a} points and {b} points are {sum} points | adding {b} points of the others to {a} points gives {sum} points"),
    ], "How many points does the whole team score?", "the whole team scores {c} points"),
    Scene("points -> team points", "the other players of the {team} score {n} points more than {who}.", {"n": SOME}, [
        Sum("x + n", "the others score {b} more than {a}, so {sum} points | {b} more than {a} points are {sum} points",
            "the others score {c} points",
            Sum("x - n", "the others score {b} less than {a}, so {sum} points | {b} less than {a} points are {sum} points")),
        Sum("x + #1", "{a} points and {b} points are {sum} points | adding {b} points of the others to {a} points gives {sum} points"),
    ], "How many points does the whole team score?", "the whole team scores {c} points"),
    Scene("team points -> team points", "in the end the {team} win by {n} points.", {"n": SOME}, [
        Sum("x - n", "the other team has {b} points less than {a}, so {sum} points | {b} points less than {a} are {sum} points",
            misread=Sum("x + n",
                "the other team has {b} points more than {a}, so {sum} points | {b} points more than {a} are {sum} points")),
    ], "How many points does the other team score?", "the other team scores {c} points"),
    Scene("points -> points", "{who} wears the number {n}.", {"n": MANY}, []),
])

WAGES = Story("Wages", casts(job="gardener, painter, waiter, driver, cook, guide"), [
    Scene("-> dollars", "{who} works as a {job} for {n} hours a day on {m} days and earns {k} dollars an hour.",
        {"n": FEW, "m": FEW, "k": range(5, 13)}, [
        Sum("n * m", "{a} hours a day on {b} days are {sum} hours | on {b} days with {a} hours each, {who} works {sum} hours",
            "{who} works {c} hours", Sum("m = n", "on the {a} days {who} works {b} hours altogether")),
        Sum("#1 * k",
            "{a} hours at {b} dollars an hour bring {sum} dollars | earning {b} dollars in each of {a} hours gives {sum} dollars",
            "the hours alone bring {c} dollars",
            Sum("m * k",
                "{a} days at {b} dollars a day bring {sum} dollars | earning {b} dollars on each of {a} days gives {sum} dollars")),
    ], "How many dollars does {who} earn?", "{who} earns {c} dollars", other_way=[
        Sum("n * k", "one day with {a} hours at {b} dollars an hour brings {sum} dollars", "{who} earns {c} dollars on one day"),
        Sum("#1 * m", "{a} dollars a day for {b} days are {sum} dollars", "the hours alone bring {c} dollars"),
    ]),
    Scene("-> dollars", "{who} works as a {job} for {n} hours and earns {m} dollars an hour.", {"n": SOME, "m": range(5, 13)}, [
        Sum("n * m", "{a} hours at {b} dollars an hour bring {sum} dollars | working {a} hours for {b} dollars each brings {sum} dollars",
            "the hours alone bring {c} dollars", Sum("n = m", "for the {a} hours {who} gets {b} dollars in all")),
    ]),
    Scene("dollars -> dollars", "guests give {n} dollars in tips.", {"n": MANY}, [
        Sum("x + n", "with {b} dollars in tips, {a} dollars become {sum} dollars | {a} dollars and tips of {b} dollars are {sum} dollars",
            skippable=True),
    ], "How many dollars does {who} have with the tips?", "{who} has {c} dollars with the tips"),
    Scene("dollars -> dollars", "each of {k} customers adds {l} dollars as thanks.", {"k": FEW, "l": SOME}, [
        Sum("k * l", "{a} customers with {b} dollars each add {sum} dollars | {b} dollars from each of {a} customers are {sum} dollars",
            "the customers give {c} dollars",
            Sum("k = l", "the {a} customers add {b} dollars altogether | all {a} customers together add {b} dollars")),
        Sum("x + #1",
            "{a} dollars and {b} dollars are {sum} dollars | adding {b} dollars from the customers to {a} dollars gives {sum} dollars"),
    ], "How many dollars does {who} have now?", "{who} now has {c} dollars"),
    Scene("dollars -> dollars", "the rent takes {n} dollars.", {"n": MANY}, [
        Sum("x - n",
            "the rent takes {b} of the {a} dollars, which leaves {sum} dollars"
            " | paying {b} dollars of rent from {a} dollars leaves {sum} dollars", skippable=True),
    ], "How many dollars are left after the rent?", "{c} dollars are left after the rent"),
    Scene("dollars -> aside", "{who} puts half of the money aside.", {}, [
        Sum("x / 2", "half of {a} dollars is {sum} dollars | {a} dollars cut in half are {sum} dollars", skippable=True),
    ], "How many dollars does {who} put aside?", "{who} puts {c} dollars aside"),
    Scene("dollars|aside -> months", "{who} uses this money up at {n} dollars a month.", {"n": SOME}, [
        Sum("x / n", "{a} dollars at {b} dollars a month last {sum} months | using {b} of {a} dollars a month, it lasts {sum} months"),
    ], "How many months does the money last?", "the money lasts {c} months"),
    Scene("dollars -> dollars", "{her} way to work is {n} miles long.", {"n": SOME}, []),
])

LIBRARY = Story("Library",
    casts(goods="books, magazines, maps, atlases, dictionaries, records", place="library, bookshop, school, museum, gallery, shop"), [
    Scene("-> goods", "a {place} has {n} shelves with {m} {goods} on each.", {"n": SOME, "m": ROW}, [
        Sum("n * m",
            "{a} shelves with {b} {goods} each hold {sum} {goods} | with {b} {goods} on each of {a} shelves there are {sum} {goods}",
            "the shelves hold {c} {goods} at first"),
    ]),
    Scene("-> goods", "a {place} has {n} old and {m} new {goods}.", {"n": range(20, 81), "m": MANY}, [
        Sum("n + m", "{a} old and {b} new {goods} are {sum} {goods} | adding {b} new ones to {a} old ones gives {sum} {goods}",
            "the {place} has {c} {goods} at first"),
    ], asides=[Sum("n - m", "there are {sum} more old {goods} than new ones", "there are {c} more old {goods} than new ones")]),
    Scene("goods -> goods", "on {day}, {k} visitors borrow {l} {goods} each.", {"k": SOME, "l": FEW}, [
        Sum("k * l", "{a} visitors borrowing {b} each take {sum} {goods} | with {b} {goods} for each of {a} visitors, {sum} are borrowed",
            "the visitors borrow {c} {goods}",
            Sum("k = l", "the {a} visitors borrow {b} {goods} altogether | all {a} visitors together borrow {b} {goods}")),
        Sum("x - #1", "{a} {goods} less the {b} borrowed ones are {sum} | after {b} of {a} {goods} are borrowed, {sum} are left"),
    ], "How many {goods} are left after {day}?", "{c} {goods} are left after {day}"),
    Scene("goods -> goods", "later, {n} {goods} are brought back.", {"n": SOME}, [
        Sum("x + n", "bringing back {b} turns {a} {goods} into {sum} | with {b} brought back, {a} {goods} become {sum}", skippable=True),
    ], "How many {goods} are there then?", "there are then {c} {goods}"),
    Scene("goods -> goods", "{n} {goods} are too old and are given away.", {"n": MANY}, [
        Sum("x - n", "giving away {b} of the {a} {goods} leaves {sum} | {b} of the {a} {goods} are given away, so {sum} are left",
            skippable=True),
    ], "How many {goods} does the {place} keep?", "the {place} keeps {c} {goods}"),
    Scene("goods -> boxes", "for a move, the {goods} are put into boxes of {n}.", {"n": range(3, 13)}, [
        Sum("x / n", "{a} {goods} in boxes of {b} fill {sum} boxes | putting {a} {goods} into boxes of {b} fills {sum} boxes",
            "the {goods} fill {c} boxes"),
    ], "How many boxes are filled?", "{c} boxes are filled"),
    Scene("boxes -> trips", "{who} carries {n} boxes on each trip.", {"n": FEW}, [
        Sum("x / n", "{a} boxes with {b} on each trip take {sum} trips | carrying {b} of {a} boxes at a time takes {sum} trips"),
    ], "How many trips does {who} make?", "{who} makes {c} trips"),
    Scene("boxes -> pounds", "a box weighs {n} pounds.", {"n": SOME}, [
        Sum("x * n", "{a} boxes of {b} pounds weigh {sum} pounds | with {b} pounds for each of {a} boxes, the weight is {sum} pounds"),
    ], "How many pounds do the boxes weigh?", "the boxes weigh {c} pounds"),
    Scene("goods -> goods", "the {place} opens on {n} days a month.", {"n": range(12, 26)}, []),
])

STORIES = (BAKING, SHOPPING, TRAVEL, SAVINGS, TICKETS, FARMING, READING, RECTANGLES, SHARING, TIME, COLLECTING, SPORTS, WAGES, LIBRARY)
