"""The pages of the people of a project, for its managers: all members, invitations, and one member."""

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotation import people, quality
from annotation.views import KEY, SignedInRequest, for_roles, read_key
from annotation.views.app_pictures import picture_of
from annotation.views.bars import bars_of
from annotation.views.csv_files import csv_answer
from annotation.views.forms.people import InviteForm, LetterForm, PauseForm, RoleForm
from trainer.counting import counted

if TYPE_CHECKING:
    from django.forms import Form

    from annotation.models import Project

REFUSALS = (quality.MemberRefused, quality.BadMessage)


@require_http_methods(["GET", "POST"])
@never_cache
@for_roles(people.MANAGERS)
def team(request: SignedInRequest, project: "Project") -> HttpResponse:
    """Show the members, search and filter them, and invite more. A POST invites, and shows the new links once."""
    roles = [(str(role), role.label.lower()) for role in request.access.grants]
    form, faults = InviteForm(request.POST if request.method == "POST" else None, roles=roles), []
    if form.is_valid():
        role, lines = form.cleaned_data["role"], form.cleaned_data["lines"]
        try:
            made = people.invite(project, actor=request.user, role=role, text=lines)
        except people.BadInvitations as bad:
            faults = [f"Line {line}: {sentence}" if line else sentence for line, sentence in bad.faults.items()]
        else:
            return _links(request, project, made, role=dict(roles)[role])
    asked = {name: request.GET.get(name, "").replace("\0", "") for name in ("words", "role", "state")}
    page = {
        "project": project,
        "team": quality.team_of(project, **asked, page=read_key(request.GET.get("page", "")) or 1),
        "asked": asked,
        "roles": [(str(role), role.label.lower()) for role in people.RANKS],
        "states": list(quality.MemberState),
        "form": form,
        "faults": faults,
        "invitations": people.invitations_of(project),
        "grants": {role.label.lower() for role in request.access.grants},
        "hours": people.HOURS,
        "is_mail_configured": people.is_mail_configured(),
    }
    return render(request, "annotation/people/team.html", page, status=400 if faults or form.errors else 200)


def _links(request: SignedInRequest, project: "Project", made: list[people.NewInvitation], *, role: str) -> HttpResponse:
    """Show new links, once, and send those that have an address if this site sends e-mail."""
    sent: set[int] = set()
    if people.is_mail_configured():
        sender = request.user.get_full_name() or request.user.get_username()
        sent = people.send_invitations(project, made, sender=sender, link_of=request.build_absolute_uri)
    links = [(row, request.build_absolute_uri(row.path)) for row in made]
    page = {
        "project": project,
        "role": role,
        "links": [
            {"row": row, "link": link, "picture": picture_of(link), "is_sent": row.number in sent, "key": f"link-{row.number}"}
            for row, link in links
        ],
        "text": "\n".join(f"{row.note}\t{link}" for row, link in links),
        "hours": people.HOURS,
        "is_mail_configured": people.is_mail_configured(),
    }
    return render(request, "annotation/people/links.html", page)


@require_POST
@never_cache
@for_roles(people.MANAGERS)
def withdraw_invitation(request: SignedInRequest, project: "Project", invitation_id: int) -> HttpResponse:
    """End an open invitation."""
    try:
        note = people.withdraw(project, invitation_id if invitation_id in KEY else 0, actor=request.user)
    except people.UnknownInvitation as error:
        raise Http404(str(error)) from None
    except people.NoInvitation as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, f"The invitation of {note} is withdrawn. Its link lets nobody in any more.")
    return redirect("people", slug=project.slug)


@require_POST
@never_cache
@for_roles(people.MANAGERS)
def make_link(request: SignedInRequest, project: "Project") -> HttpResponse:
    """Show a new sign-in link for a member of the project, once. Members who can administrate get theirs from a superuser."""
    try:
        person = people.member_to_invite(project, request.POST.get("name", ""))
    except people.NoSuchAccount as error:
        messages.error(request, str(error))
        return redirect("people", slug=project.slug)
    link = request.build_absolute_uri(people.link_to_sign_in(person))
    return render(request, "account/new_link.html", {"project": project, "person": person, "link": link, "picture": picture_of(link)})


@require_http_methods(["GET", "POST"])
@never_cache
@for_roles(people.MANAGERS)
def newcomers(request: SignedInRequest, project: "Project") -> HttpResponse:
    """Show the newcomers, and one of them with the answers beside gold. A POST decides: admit, refuse, repeat."""
    given = request.POST if request.method == "POST" else request.GET
    number, error, status = read_key(given.get("person", "")), "", 200
    if number is None and "person" in given:
        raise Http404("No newcomer has this number.")
    try:
        if request.method == "POST" and number is not None:
            try:
                sentence = _decide(request, project, number)
            except quality.MemberRefused as refused:
                error, status = str(refused), 409 if isinstance(refused, quality.MemberChanged) else 400
            else:
                messages.success(request, sentence)
                return redirect("newcomers", slug=project.slug)  # with the next person who waits
        elif request.method == "POST":
            error, status = "Nobody was chosen, and nothing was changed. Choose a person in the list.", 400
        shown = quality.newcomers_page(project, number)
    except quality.NoSuchMember as unknown:
        raise Http404(str(unknown)) from None
    can_act = shown.chosen is None or shown.chosen.role in request.access.grants
    page = {"project": project, "shown": shown, "error": error, "can_act": can_act}
    return render(request, "annotation/people/newcomers.html", page, status=status)


def _decide(request: SignedInRequest, project: "Project", number: int) -> str:
    """Decide about a newcomer and say so. Raises MemberRefused, NoSuchMember."""
    given: dict[str, Any] = {"actor": request.user, "seen": request.POST.get("seen", "")}
    match request.POST.get("act", ""):
        case "admit":
            return f"{quality.admit(project, number, **given).user} is admitted and can label real work."
        case "refuse":
            return f"{quality.refuse(project, number, **given).user} is refused. Their home page says so. You can still admit this person."
        case "repeat":
            count = quality.let_repeat(project, number, **given)
            return f"{quality.find_member(project, number).user} gets {counted(count, 'other question')}. Their home page says so."
    raise quality.MemberRefused("This page cannot do that. Load it again, and use its buttons.")


@require_http_methods(["GET", "POST"])
@never_cache
@for_roles(people.MANAGERS)
def member(request: SignedInRequest, project: "Project", membership_id: int) -> HttpResponse:
    """Show one member: work, record, messages, what they hold. A POST acts: role, admit, pause, resume, remove, message."""
    number = membership_id if membership_id in KEY else 0
    act, error, status = request.POST.get("act", ""), "", 200
    try:
        row = quality.find_member(project, number)
        roles = [(str(role), role.label.lower()) for role in request.access.grants]
        forms: dict[str, Form] = {
            "role": RoleForm(request.POST if act == "role" else None, roles=roles, role=row.role),
            "pause": PauseForm(request.POST if act == "pause" else None),
            "message": LetterForm(request.POST if act == "message" else None),
        }
        if request.method == "POST" and (act not in forms or forms[act].is_valid()):
            if act == "remove" and "sure" not in request.POST:
                page = {"project": project, "shown": quality.member_page(project, number), "removal": quality.removal_of(project, row)}
                return render(request, "annotation/people/remove.html", page)
            try:
                sentence = _act(request, project, number, act, forms.get(act))
            except REFUSALS as refused:
                error, status = str(refused), 409 if isinstance(refused, quality.MemberChanged) else 400
            else:
                messages.success(request, sentence)
                is_own = row.user_id == request.user.pk and act in ("role", "remove")  # perhaps no manager any more
                return redirect("home") if is_own else redirect("member", slug=project.slug, membership_id=number)
        shown = quality.member_page(project, number)
    except quality.NoSuchMember as unknown:
        raise Http404(str(unknown)) from None
    if request.method == "POST" and not error:
        status = 400  # the form says what is wrong beside its field
    page = {
        "project": project,
        "shown": shown,
        "forms": forms,
        "error": error,
        "bars": bars_of(shown.chart),
        "can_act": shown.member.role in request.access.grants or shown.member.role == "former",
    }
    return render(request, "annotation/people/member.html", page, status=status)


def _act(request: SignedInRequest, project: "Project", number: int, act: str, form: "Form | None") -> str:
    """Do what a manager asked for, and say that it is done. Raises MemberRefused, BadMessage, NoSuchMember."""
    given: dict[str, Any] = {"actor": request.user, "seen": request.POST.get("seen", "")}
    typed = form.cleaned_data if form else {}
    match act:
        case "role":
            return quality.change_role(project, number, role=typed["role"], **given)
        case "admit":
            return f"{quality.admit(project, number, **given).user} is admitted and can label real work."
        case "pause":
            return (
                f"{quality.pause(project, number, reason=typed['reason'], **given).user} is paused and reads the reason on their home page."
            )
        case "resume":
            return f"{quality.resume(project, number, **given).user} can label again."
        case "remove":
            return quality.remove(project, number, **given)
        case "message":
            name = quality.find_member(project, number).user.get_username()
            quality.send_message(project, sender=request.user, recipient=name, text=typed["text"])
            return f"Your message is sent. {name} sees it on their home page."
    raise quality.MemberRefused("This page cannot do that. Load it again, and use its buttons.")


@require_GET
@for_roles(people.MANAGERS)
def member_work(request: SignedInRequest, project: "Project", membership_id: int) -> HttpResponse:
    """Send what a member labeled on each day, as comma-separated values."""
    try:
        row = quality.find_member(project, membership_id if membership_id in KEY else 0)
    except quality.NoSuchMember as unknown:
        raise Http404(str(unknown)) from None
    days = quality.work_by_day(project, row.user)
    lines = [[day.day.isoformat(), str(day.count), f"{day.active_ms / 60_000:.1f}"] for day in days]
    return csv_answer([["day", "solutions", "active_minutes"], *lines], name=f"{project.slug}-{row.pk}-work.csv")
