"""People who label over HTTP at random, what they were told, and a check of the database against it.

`people` walks, `journal` keeps what the site answered, `history` keeps in the database who held what, and `checking` compares them.
`faults` kills parts of the site meanwhile. script/bench faults runs all of it. tests/annotation/test_planted_faults.py shows, with the
same people, journal and check, that faults in the code are seen.
"""
