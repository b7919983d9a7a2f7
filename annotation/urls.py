"""The addresses of the labeling flow."""

from django.urls import path

from annotation.views import account, imports, labeling, managing, person, projects, researching

urlpatterns = [
    # First, because Django tries one after the other, and most requests are these.
    path("assignments/<int:assignment_id>/draft/", labeling.draft, name="draft"),
    path("assignments/<int:assignment_id>/submit/", labeling.submit, name="submit"),
    path("assignments/<int:assignment_id>/skip/", labeling.skip, name="skip"),
    path("assignments/<int:assignment_id>/ahead/", labeling.ahead, name="ahead"),
    path("assignments/<int:assignment_id>/release/", labeling.release, name="release"),
    path("assignments/<int:assignment_id>/completions/", labeling.show_completions, name="completions"),
    path("assignments/<int:assignment_id>/extend/", labeling.extend, name="extend"),
    path("", person.home, name="home"),
    path("account/", account.account, name="account"),
    path("account/password/", account.set_password, name="set-password"),
    path("account/second-factor/", account.set_up_second_factor, name="set-up-second-factor"),
    path("account/second-factor/change/", account.change_second_factor, name="change-second-factor"),
    path("account/sessions/end/", account.end_session, name="end-session"),
    path("keys/", person.choose_keys, name="keys"),
    path("messages/<int:message_id>/read/", person.mark_read, name="mark-read"),
    path("projects/new/", projects.new_project, name="new-project"),
    path("projects/preview/", projects.preview_guidelines, name="preview-guidelines"),
    path("p/<slug:slug>/", managing.overview, name="overview"),
    path("p/<slug:slug>/messages/", managing.write_message, name="messages"),
    path("p/<slug:slug>/people/link/", managing.make_link, name="make-link"),
    path("p/<slug:slug>/problems/<int:problem_id>/", managing.problem, name="problem"),
    path("p/<slug:slug>/label/", labeling.label, name="label"),
    path("p/<slug:slug>/recent/", labeling.recent, name="recent"),
    path("p/<slug:slug>/reopen/<int:annotation_id>/", labeling.reopen, name="reopen"),
    path("annotations/<int:annotation_id>/revise/", labeling.revise, name="revise"),
    path("p/<slug:slug>/guidelines/", person.guidelines, name="guidelines"),
    path("p/<slug:slug>/labels/", researching.annotations, name="annotations"),
    path("p/<slug:slug>/labels/<int:annotation_id>/", researching.annotation, name="annotation"),
    path("p/<slug:slug>/data/", imports.data, name="data"),
    path("p/<slug:slug>/data/upload/", imports.upload, name="upload"),
    path("p/<slug:slug>/data/imports/<int:import_id>/", imports.one_import, name="import"),
    path("p/<slug:slug>/data/imports/<int:import_id>/check/", imports.check_import, name="check-import"),
    path("p/<slug:slug>/data/imports/<int:import_id>/load/", imports.load_import, name="load-import"),
    path("p/<slug:slug>/data/imports/<int:import_id>/resume/", imports.resume_import, name="resume-import"),
    path("p/<slug:slug>/data/imports/<int:import_id>/cancel/", imports.cancel_import, name="cancel-import"),
    path("p/<slug:slug>/data/imports/<int:import_id>/discard/", imports.discard_import, name="discard-import"),
    path("p/<slug:slug>/export/", researching.download_export, name="export"),
]
