"""The views of a person's own tokens: which there are, a new one, the end of one."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from annotation import people
from annotation.views import SignedInRequest
from annotation.views.forms.tokens import TokenForm


@never_cache
@require_http_methods(["GET", "POST"])
@login_required
def tokens(request: SignedInRequest) -> HttpResponse:
    """Show the tokens of a person. A POST makes one, and its answer alone shows it.

    The same form sent again makes no second token, because two tokens cannot have one name.
    """
    typed = request.POST if request.method == "POST" else None
    form = TokenForm(typed, projects=people.token_projects(request.user))
    made, text = None, ""
    if form.is_valid():
        try:
            made, text = people.make_token(request.user, **form.cleaned_data)
            form = TokenForm(projects=people.token_projects(request.user))
        except people.CannotMakeToken as refused:
            form.add_error(refused.field, str(refused))
    page = {"form": form, "made": made, "text": text, "tokens": people.tokens_of(request.user)}
    return render(request, "account/tokens.html", page, status=400 if form.errors else 200)


@require_POST
@login_required
def revoke(request: SignedInRequest, token_number: int) -> HttpResponse:
    """End a token of this person for good."""
    name = people.revoke_token(request.user, token_number)
    messages.success(request, f"The token “{name}” is revoked." if name else "This token had ended already.")
    return redirect("tokens")
