from django.apps import AppConfig


class ActiveLearningConfig(AppConfig):
    name = "active_learning"

    def ready(self) -> None:
        from active_learning import registry, rounds
        from annotation import export, people, projects

        people.person_erased.connect(registry.forget_name)
        people.person_erased.connect(rounds.forget_name)
        projects.project_deleted.connect(rounds.delete_rounds)
        export.batches_described.connect(rounds.describe_batches)
