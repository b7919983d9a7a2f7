"""What happens in the labeling flow that the tables of later stages follow. A leaf: who sends and who listens load nothing of each other.

Each is sent in the transaction of what happens.
"""

from django.dispatch import Signal

person_erased = Signal()  # name: the old name; new_name. For texts that hold names.
project_deleted = Signal()  # project. Before its rows go, so that listeners remove theirs. They raise projects.CannotDelete.
# project, batches: a set of keys. Listeners return {key: {model, strategy, seed ..}} of what selected a batch.
batches_described = Signal()
