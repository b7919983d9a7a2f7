"""The words for "answer" in the languages in which models write solutions. Pure: a table."""

from typing import NamedTuple


class Language(NamedTuple):
    """How a language states an answer. All but `stems` are regular expressions; case is ignored."""

    name: str
    stems: tuple[str, ...]  # in lower case; a text without any of them is not searched further
    nouns: str  # "answer"
    verbs: str = ""  # what links it to the value, besides a colon
    final: str = r"(?!)"  # "final" or "correct" after the noun
    before: str = r"(?!)"  # the same before the noun, where no space separates them
    closing: str = ""  # the verb, where it stands after the value
    about: str = r"(?!)"  # what can stand between noun and verb: the answer TO THE QUESTION is
    is_spaced: bool = True


_VALUE = r"(?=\s*(?:[-−(]?[\d$]|\\[(\[]|\*\*))"  # no verb at all: the value follows the noun

LANGUAGES = (
    Language(
        "English",
        ("answer", "ans", "final result", "correct option", "correct choice", "right option", "right choice"),
        r"answers?|ans(?=\.?\s*[:：=])|final result(?=\W{0,5}:)|(?:correct|right) (?:option|choice)",
        r"\.?(?=\s*[:：=])(?<=ans\.)|\s*\b(?:is(?:n['’]t| not\b)?|are(?:n['’]t| not\b)?|will be|would be|should be|must be|has to be"
        r"|becomes|equals|comes (?:out )?to(?: be)?|turns out to be|works out to(?: be)?|can(?:not|['’]t)? be|could(?: not|n['’]t)? be"
        r"|may be|might be|was(?:n['’]t| not\b)?|were)",
        about=r",\s+(?:therefore|then|thus|hence|of course|in fact),"
        r"|\s+(?:to|for|of)\s[^.:=\n]{1,80}?(?=\s*(?:\b(?:is|are|will be|would be|should be|must be|equals)\b|[:=]))",
    ),
    Language("Spanish", ("respuesta", "resultado"), r"respuestas?|resultado final", r"es|son|sería|será", r"final|finales|correctas?"),
    Language(
        "Portuguese", ("respost", "resultado"), r"respostas?|resultado final", r"é|és|são|seria|será", r"final|finais|corretas?|correctas?"
    ),
    Language(
        "French",
        ("réponse", "reponse", "résultat"),
        r"r[ée]ponses?|résultat final",
        r"est|sont|serait|vaut",
        r"finales?|correctes?|définitive",
    ),
    Language("German", ("antwort", "ergebnis"), r"(?:end)?antwort(?:en)?|endergebnis", r"ist(?: nicht)?|sind|lautet|lauten|beträgt|wäre"),
    Language("Italian", ("rispost", "risultato"), r"rispost[ae]|risultato finale", r"è|é|e'|sono|sarebbe", r"finale|corretta"),
    Language("Dutch", ("antwoord",), r"(?:eind)?antwoord(?:en)?", r"is|zijn|luidt"),
    Language("Swedish, Norwegian, Danish", ("svar",), r"svar(?:et)?", r"är|er|blir|lyder"),
    Language("Finnish", ("vasta",), r"vastaus|vastaukset", r"on|ovat"),
    Language("Polish", ("odpow", "odp"), r"odpowiedź|odpowiedzią|odp(?=\.?\s*:)\.?", r"to|jest|brzmi|wynosi"),
    Language("Czech, Slovak", ("odpov",), r"odpov[ěe]ď", r"je|jsou|zní|znie"),
    Language("Hungarian", ("válasz",), r"(?:vég)?válasz", r"az?"),
    Language("Romanian", ("răspuns", "raspuns"), r"r[ăa]spuns(?:ul)?", r"este|e|sunt", r"final|corect"),
    Language("Greek", ("απάντηση",), r"απάντηση", r"είναι"),
    Language("Russian", ("ответ",), r"ответ(?:ом|ы)?", rf"равен|есть|является|это|будет|не\b|{_VALUE}"),
    Language("Ukrainian", ("відповід",), r"відповідь|відповіддю", r"дорівнює|це|є"),
    Language("Turkish", ("cevap", "yanıt", "cevab"), r"cevap|cevabı?|yanıtı?", _VALUE, closing=r"['’](?:[dt][iıuü]r)"),
    Language(
        "Indonesian, Malay", ("jawaban", "jawapan"), r"jawaban(?:nya)?|jawapan(?:nya)?", r"adalah|ialah|yaitu", r"akhir(?:nya)?|yang benar"
    ),
    Language("Vietnamese", ("đáp án", "đáp số", "câu trả lời"), r"đáp án|đáp số|câu trả lời", r"là|bằng", r"cuối cùng|đúng"),
    Language("Swahili", ("jibu",), r"jibu", r"ni", r"la mwisho|sahihi"),
    Language("Arabic", ("جواب", "جابة"), r"(?:ال)?(?:جواب|[إا]جابة)", r"هو|هي|تساوي|يساوي", r"النهائي[ةه]?|الصحيح[ةه]?"),
    Language(
        "Persian, Urdu",
        ("پاسخ", "جواب"),
        r"پاسخ|جواب",
        rf"برابر(?: است)?(?: با)?|ہے|{_VALUE}",
        r"نهایی|صحیح|درست",
        closing=r"\s*(?:است|ہے)",
    ),
    Language("Hebrew", ("תשובה",), r"ה?תשובה", r"היא|הוא", r"ה?סופית|ה?נכונה"),
    Language("Hindi, Marathi", ("उत्तर", "जवाब"), r"उत्तर|जवाब", rf"है|आहे|{_VALUE}", closing=r"\s*(?:है|हैं|आहे)"),
    Language("Bengali", ("উত্তর",), r"উত্তর", rf"হল|হলো|হচ্ছে|হবে|{_VALUE}|(?=\s*[০-৯])"),
    Language("Telugu", ("సమాధాన", "జవాబు"), r"సమాధానం|జవాబు", _VALUE),
    Language("Tamil", ("விடை", "பதில்"), r"விடை|பதில்", _VALUE, closing=r"\s*ஆகும்"),
    Language(
        "Chinese",
        ("答", "最终结果", "最終結果"),
        r"答案|(?<![回解作问])答(?=\s*[:：])|最终结果|最終結果",
        r"(?:应该?|應該?|就)?(?:不?是|为|為|等于|等於|即|[选選](?=[\s(（A-Z]))",
        before="最终|最終|正确|正確|参考",
        is_spaced=False,
    ),
    Language("Chinese, a choice", ("选", "選"), r"(?:[故应應]|所以|因此)[选選](?:择|擇|项|項)?", r"(?=\s*[(（A-Z$\\])", is_spaced=False),
    Language(
        "Japanese",
        ("答", "正解"),
        r"答え|(?<![回解])答(?=\s*[:：は])|解答|(?<![请請])回答|正解",
        r"は",
        before="最終的な|最終|正しい",
        closing=r"(?:です|である|となります|となる|になります|になる|だ)",
        is_spaced=False,
    ),
    Language(
        "Korean",
        ("답",),
        r"정답|해답|답변|답",
        r"[은는이]",
        before="최종|최종적인",
        closing=r"\s*(?:입니다|이다|이에요|예요|이며|[이가] 됩니다|[이가] 된다)",
        is_spaced=False,
    ),
    Language("Thai", ("ตอบ",), r"คำตอบ|ตอบ", rf"คือ|เท่ากับ|เป็น|{_VALUE}", r"สุดท้าย|ที่ถูกต้อง(?:คือ)?", is_spaced=False),
)
