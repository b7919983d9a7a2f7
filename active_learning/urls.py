"""The loop's addresses, under /p/<slug>/rounds/."""

from django.urls import path

from active_learning import views

urlpatterns = [
    path("", views.loop, name="loop"),
    path("start/", views.start_round, name="start-round"),
    path("<int:generation>/cancel/", views.cancel_round, name="cancel-round"),
]
