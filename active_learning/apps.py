from django.apps import AppConfig


class ActiveLearningConfig(AppConfig):
    name = "active_learning"

    def ready(self) -> None:
        from active_learning import following

        following.listen()
