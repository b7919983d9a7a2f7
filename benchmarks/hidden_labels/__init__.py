"""Labels that people gave, hidden and revealed solution by solution, for script/bench real_labels.

`splits` runs an arm on a split of a set and keeps its figures; `gains` says from the figures of many splits what labels teach and whether
choosing teaches more.
"""
