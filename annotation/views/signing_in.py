"""The views of somebody who is not signed in yet: password, one-time link, and the second factor after either of them."""

import time
from dataclasses import dataclass
from typing import Any, cast

from django.contrib import auth, messages
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView, RedirectURLMixin
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render, resolve_url
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.http import urlencode
from django.views import View as ClassView
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from annotation import people
from annotation.views.app_pictures import picture_of

BY_PASSWORD, BY_LINK = "django.contrib.auth.backends.ModelBackend", "sesame.backends.ModelBackend"
TOKEN = "sesame"  # the field of a link
HALF, HALF_SECONDS = "half_signed_in", 600  # in the session of somebody who still owes a code, and how long that lasts


@dataclass(frozen=True)
class HalfSignedIn:
    """Somebody whose password or link was right, and who is not signed in before a code. `to` is where they go then."""

    person: User
    backend: str
    to: str


class SignInForm(AuthenticationForm):
    """A name and a password. A name that is too long for any account is not counted as a try: the counter could not store it."""

    def clean(self) -> dict[str, Any]:
        if len(self.cleaned_data.get("username") or "") > (User._meta.get_field("username").max_length or 0):
            raise self.get_invalid_login_error()
        return super().clean()


class SignIn(LoginView):
    """Sign in with name and password. After five wrong passwords for a name from one address, that pair waits for ten minutes."""

    authentication_form = SignInForm
    template_name = "sign_in.html"
    redirect_authenticated_user = True

    def get_context_data(self, **more: Any) -> dict[str, Any]:
        return super().get_context_data(is_set_up=people.is_set_up(), **more)

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        return admit(self.request, cast(User, form.get_user()), backend=BY_PASSWORD, to=self.get_success_url())

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        if not getattr(self.request, "axes_locked_out", False):
            return super().form_invalid(form)
        seconds = people.seconds_to_wait(form.cleaned_data.get("username", ""), address=address_of(self.request))
        page = self.get_context_data(form=form, minutes=minutes_of(seconds))
        answer = render(self.request, self.template_name, page, status=429)
        answer["Retry-After"] = str(seconds)
        return answer


@method_decorator([login_not_required, never_cache], name="dispatch")
class SignInByLink(RedirectURLMixin, ClassView):
    """Sign a person in by a one-time link. GET shows a button and uses nothing up: chats open links for their previews."""

    next_page = "home"

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show whom the link signs in."""
        token = request.GET.get(TOKEN, "")
        return self.shown(people.person_of_link(token), token)

    def post(self, request: HttpRequest) -> HttpResponse:
        """Use the link up."""
        person = people.redeem_link(request.POST.get(TOKEN, ""))
        return admit(request, person, backend=BY_LINK, to=self.get_success_url()) if person else self.shown(None, "")

    def shown(self, person: User | None, token: str) -> HttpResponse:
        """Show the page of the link; of a dead one, with the way on."""
        page = {"person": person, "token": token, "next": self.get_redirect_url()}
        return render(self.request, "account/link.html", page, status=200 if person else 410)


@login_not_required
@never_cache
@require_http_methods(["GET", "POST"])
def enter_code(request: HttpRequest) -> HttpResponse:
    """Ask for a code from the app after the password or the link, and sign in with it."""
    half = half_signed_in(request)
    if half is None or people.next_step(half.person) is not people.NextStep.CODE:
        return _too_late(request)
    error = ""
    if request.method == "POST":
        try:
            people.check_code(half.person, request.POST.get("code", ""))
        except people.BadCode as refused:
            error = str(refused)
        else:
            _sign_in(request, half)
            return redirect(half.to)
    return render(request, "account/code.html", {"person": half.person, "error": error}, status=400 if error else 200)


@login_not_required
@never_cache
@require_http_methods(["GET", "POST"])
def set_up_first(request: HttpRequest) -> HttpResponse:
    """Lead an owner, a manager or staff without a second factor to set it up, before they are signed in."""
    half = half_signed_in(request)
    if half is None or people.next_step(half.person) is not people.NextStep.SET_UP:
        return _too_late(request)
    return set_up(request, half.person, half=half)


def set_up(request: HttpRequest, person: User, *, half: HalfSignedIn | None = None) -> HttpResponse:
    """Show the secret of a new app, take its first code, and show the recovery codes once. `half`: sign this person in, too."""
    error = ""
    if request.method == "POST":
        try:
            codes = people.confirm_app(person, request.POST.get("code", ""))
        except people.BadCode as refused:
            error = str(refused)
        else:
            if half:
                _sign_in(request, half)
            return render(request, "account/recovery_codes.html", {"codes": codes, "to": half.to if half else reverse("account")})
    app = people.new_app(person)
    page = {"person": person, "secret": people.secret_of(app), "picture": picture_of(app.config_url), "error": error, "is_first": half}
    return render(request, "account/second_factor.html", page, status=400 if error else 200)


@login_not_required
@never_cache
@require_GET
def who(request: HttpRequest) -> JsonResponse:
    """Answer who is signed in in this browser: a labeling page whose session has ended waits for its person."""
    return JsonResponse({"person": request.user.pk})


@login_not_required
@never_cache
@require_GET
def sign_in_to_administration(request: HttpRequest) -> HttpResponseBase:
    """Lead from the administration to the sign-in page, which throttles and asks for the second factor. Signed in without rights: 404."""
    if request.user.is_authenticated:
        raise Http404("This page does not exist, or you have no access to it.")
    to = request.GET.get("next") or reverse("admin:index")
    return redirect(f"{reverse('sign-in')}?{urlencode({'next': to})}")


def admit(request: HttpRequest, person: User, *, backend: str, to: str) -> HttpResponse:
    """Sign a person in, or lead them to the step that is still missing."""
    step = people.next_step(person)
    half = HalfSignedIn(person, backend, resolve_url(to))
    if step is people.NextStep.NOTHING:
        _sign_in(request, half)
        return redirect(half.to)
    proof = {"person": person.pk, "password": person.get_session_auth_hash(), "backend": backend, "to": half.to, "at": time.time()}
    request.session[HALF] = proof
    return redirect("sign-in-code" if step is people.NextStep.CODE else "sign-in-set-up")


def half_signed_in(request: HttpRequest) -> HalfSignedIn | None:
    """Return who gave a right password or link in this browser in the last ten minutes, and still owes a code."""
    proof: dict[str, Any] = request.session.get(HALF) or {}
    if not proof or time.time() - proof["at"] > HALF_SECONDS:
        return None
    person = cast("User | None", auth.load_backend(proof["backend"]).get_user(proof["person"]))
    if person is None or person.get_session_auth_hash() != proof["password"]:
        return None
    return HalfSignedIn(person, proof["backend"], proof["to"])


def address_of(request: HttpRequest) -> str | None:
    """Return the address for which wrong passwords were counted in this request."""
    return getattr(request, "axes_ip_address", None)


def minutes_of(seconds: int) -> int:
    """Return whole minutes, at least one."""
    return max(1, -(-seconds // 60))


def _sign_in(request: HttpRequest, half: HalfSignedIn) -> None:
    request.session.pop(HALF, None)
    auth.login(request, half.person, backend=half.backend)


def _too_late(request: HttpRequest) -> HttpResponse:
    if request.user.is_authenticated:
        return redirect("home")
    messages.error(request, "More than ten minutes have passed since your password or link. Sign in again.")
    return redirect("sign-in")
