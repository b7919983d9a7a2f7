"""The page that a link of an invitation opens. Nobody has to be signed in."""

from django.contrib import auth, messages
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views import View as ClassView
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from annotation import people
from annotation.views.forms.people import NewAccountForm
from annotation.views.signing_in import BY_PASSWORD, admit

STATUS = {people.UnknownInvitation: 404, people.AlreadyMember: 409}  # a link that is over: 410


@method_decorator([login_not_required, never_cache, sensitive_post_parameters()], name="dispatch")
class AcceptInvitation(ClassView):
    """Let a person into a project. GET and HEAD use nothing up: chats and mail programs open links for their previews."""

    def get(self, request: HttpRequest, token: str) -> HttpResponse:
        """Show what the link invites to."""
        try:
            invited = people.look(token, person=request.user)
        except people.NoInvitation as refused:
            return self.refused(refused)
        return render(request, "annotation/people/invitation.html", {"invited": invited, "form": NewAccountForm()})

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        """Join, with the account that is signed in or with a new one."""
        try:
            if request.user.is_authenticated:
                return self.joined(request, people.accept(token, person=request.user), person=request.user)
            invited, form = people.look(token, person=request.user), NewAccountForm(request.POST)
            if form.is_valid():
                name, password = form.cleaned_data["username"], form.cleaned_data["password1"]
                try:
                    person, project = people.accept_as_new_person(token, name=name, password=password)
                except people.NoSuchAccount as taken:
                    form.add_error("username", str(taken))
                else:
                    messages.success(request, f"Welcome. You are a member of {project} now.")
                    return admit(request, person, backend=BY_PASSWORD, to=reverse("home"))
        except people.NoInvitation as refused:
            return self.refused(refused)
        return render(request, "annotation/people/invitation.html", {"invited": invited, "form": form}, status=400)

    def joined(self, request: HttpRequest, project: object, *, person: User) -> HttpResponse:
        """Go on as a member. Somebody who now needs a second factor sets it up first."""
        messages.success(request, f"You are a member of {project} now.")
        if people.next_step(person) is people.NextStep.SET_UP:
            backend = request.session[auth.BACKEND_SESSION_KEY]
            auth.logout(request)  # their sessions ended when they became a manager
            return admit(request, person, backend=backend, to=reverse("home"))
        return redirect("home")

    def refused(self, refused: people.NoInvitation) -> HttpResponse:
        """Say why the link lets nobody in."""
        page = {"sentence": str(refused), "project": getattr(refused, "project", None)}
        return render(self.request, "annotation/people/invitation.html", page, status=STATUS.get(type(refused), 410))
