"""The views of a person's own account: preferences, password, second factor, and the browsers in which they are signed in."""

from typing import Any

from django import forms
from django.contrib import auth, messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import SetPasswordForm
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotation import people, preferences
from annotation.views import SignedInRequest
from annotation.views.forms.preferences import PreferencesForm
from annotation.views.signing_in import address_of, minutes_of, set_up


class PasswordForm(SetPasswordForm):
    """A new password, twice; with the present one for somebody who has one."""

    def __init__(self, user: User, data: Any = None) -> None:
        super().__init__(user, data, auto_id="password-%s", label_suffix="")
        if people.has_password(user):
            widget = forms.PasswordInput({"autocomplete": "current-password"})
            self.fields["present"] = forms.CharField(label="Your present password", strip=False, widget=widget)
            self.order_fields(["present"])
        if count := people.count_tokens(user):
            theirs = f"your {count} API tokens" if count > 1 else "your API token"
            self.fields["revoke"] = forms.BooleanField(required=False, initial=True, label=f"Also revoke {theirs}")
        self.fields["new_password1"].label, self.fields["new_password2"].label = "New password", "New password, again"


@require_GET
@never_cache
@login_required
def account(request: SignedInRequest) -> HttpResponse:
    """Show a person's preferences, password, second factor and sessions."""
    return _page(request, PasswordForm(request.user))


@require_POST
@never_cache
@login_required
def set_preferences(request: SignedInRequest) -> HttpResponse:
    """Store how a person wants the pages, and what they aim at on a day."""
    form = PreferencesForm(request.POST, chosen=preferences.preferences_of(request.user))
    if form.is_valid():
        preferences.choose(request.user, **form.cleaned_data)
        messages.success(request, "Your preferences are saved. They hold in every browser.")
        return redirect("account")
    return _page(request, PasswordForm(request.user), wanted=form)


@sensitive_post_parameters()
@require_POST
@never_cache
@login_required
def set_password(request: SignedInRequest) -> HttpResponse:
    """Set the first password, or change it. All other sessions end."""
    form = PasswordForm(request.user, request.POST)
    if form.is_valid() and _knows_password(request, form):
        people.set_password(request.user, form.cleaned_data["new_password1"])
        if form.cleaned_data.get("revoke"):
            people.revoke_tokens(request.user, actor=request.user)
        auth.update_session_auth_hash(request, request.user)
        people.end_others(request.user, current=request.session.session_key)
        messages.success(request, "Your password is saved. You are signed out everywhere else.")
        return redirect("account")
    return _page(request, form)


@require_POST
@login_required
def end_session(request: SignedInRequest) -> HttpResponse:
    """End one session of this person, or all but the current one."""
    if "others" in request.POST:
        count = people.end_others(request.user, current=request.session.session_key)
        ended = f"{count} session{'s' if count != 1 else ''}"
        messages.success(request, f"{ended} ended. You are signed in only here." if count else "You are signed in only here.")
    elif people.end_session(request.user, request.POST.get("session", "")):
        messages.success(request, "The session is ended.")
    else:
        messages.success(request, "This session had ended already.")
    return redirect("account")


@never_cache
@require_http_methods(["GET", "POST"])
@login_required
def set_up_second_factor(request: SignedInRequest) -> HttpResponse:
    """Set up a second factor. Somebody who has one removes it first, with a code."""
    if people.has_second_factor(request.user):
        return redirect("account")
    return set_up(request, request.user)


@require_POST
@never_cache
@login_required
def change_second_factor(request: SignedInRequest) -> HttpResponse:
    """With a code: make new recovery codes, or remove the second factor where it is not required."""
    if not people.has_second_factor(request.user):
        return redirect("account")
    try:
        people.check_code(request.user, request.POST.get("code", ""))
    except people.BadCode as refused:
        return _page(request, PasswordForm(request.user), code_error=str(refused))
    if "remove" in request.POST:
        people.remove_second_factor(request.user, actor=request.user)
        if people.is_required(request.user):
            return redirect("set-up-second-factor")
        messages.success(request, "The second factor is removed.")
        return redirect("account")
    return render(request, "account/recovery_codes.html", {"codes": people.make_recovery_codes(request.user), "to": reverse("account")})


def _knows_password(request: SignedInRequest, form: PasswordForm) -> bool:
    """Check the present password, where there is one. Wrong ones are counted as on the sign-in page."""
    if "present" not in form.fields:
        return True
    name = request.user.get_username()
    if auth.authenticate(request, username=name, password=form.cleaned_data["present"]):
        return True
    if getattr(request, "axes_locked_out", False):
        minutes = minutes_of(people.seconds_to_wait(name, address=address_of(request)))
        form.add_error("present", f"Too many wrong passwords. Wait {minutes} minute{'s' if minutes != 1 else ''}, then try again.")
    else:
        form.add_error("present", "This is not your present password. Check upper and lower case.")
    return False


def _page(request: SignedInRequest, form: PasswordForm, *, wanted: PreferencesForm | None = None, code_error: str = "") -> HttpResponse:
    wanted = wanted or PreferencesForm(chosen=preferences.preferences_of(request.user))
    page = {
        "form": form,
        "wanted": wanted,
        "sessions": people.sessions_of(request.user, current=request.session.session_key),
        "is_mail_configured": people.is_mail_configured(),
        "has_second_factor": people.has_second_factor(request.user),
        "is_required": people.is_required(request.user),
        "code_error": code_error,
        "token_count": people.count_tokens(request.user),
    }
    return render(request, "account/account.html", page, status=400 if form.errors or wanted.errors or code_error else 200)
