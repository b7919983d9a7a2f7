"""The page that the set-up link opens: it makes the first owner of a site. Nobody has to be signed in."""

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from active_learning import demonstration
from annotation import people
from annotation.views.forms.projects import FirstOwnerForm
from annotation.views.signing_in import BY_PASSWORD, admit


@sensitive_post_parameters()
@login_not_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def set_up(request: HttpRequest, set_up_token: str) -> HttpResponse:
    """Make the first account and sign it in. Opening the page uses nothing up: chats open links for their previews."""
    if not people.is_set_up_token(set_up_token):
        raise Http404("This is not the set-up link of this site.")
    if people.is_set_up():
        return render(request, "account/set_up.html", status=410)
    typed = request.POST if request.method == "POST" else None
    form = FirstOwnerForm(typed, offers_demonstration=demonstration.is_possible(with_owner=True))
    if form.is_valid():
        wants_demonstration = form.cleaned_data.get("demonstration", False)
        try:
            person = demonstration.set_up(**form.account) if wants_demonstration else people.set_up(**form.account)
        except people.AlreadySetUp:
            return render(request, "account/set_up.html", status=410)
        except people.NameTaken as taken:
            form.add_error("username", str(taken))
        else:
            if wants_demonstration:
                messages.success(request, demonstration.WELCOME)
            place = reverse("overview", args=[demonstration.DEMONSTRATION]) if wants_demonstration else reverse("new-project")
            return admit(request, person, backend=BY_PASSWORD, to=place)
    return render(request, "account/set_up.html", {"form": form}, status=400 if form.errors else 200)
