"""Stage: people, e-mail. Sends links of invitations, if a mail server is configured."""

import logging
import smtplib
from collections.abc import Callable, Iterable

from django.conf import settings
from django.core import mail

from annotation.models import Project
from annotation.people.invitations import HOURS, NewInvitation

log = logging.getLogger(__name__)


def is_mail_configured() -> bool:
    """Return whether this site can send e-mail."""
    return bool(settings.EMAIL_HOST)


def send_invitations(project: Project, invitations: Iterable[NewInvitation], *, sender: str, link_of: Callable[[str], str]) -> set[int]:
    """Send the link of each invitation whose note has an e-mail address. Return the numbers of those that the mail server took.

    `link_of` makes a whole link of a path. The server gets all of them over one connection. After an error of the connection it is
    asked no more: somebody waits for the page.
    """
    sent: set[int] = set()
    if not (addressed := [(invitation, address) for invitation in invitations if (address := invitation.address)]):
        return sent
    try:
        with mail.get_connection() as connection:
            for invitation, address in addressed:
                letter = mail.EmailMessage(
                    subject=f"Invitation to {' '.join(project.name.split())}",
                    body=_TEXT.format(sender=sender, project=project.name, link=link_of(invitation.path), hours=HOURS),
                    to=[address],
                    connection=connection,
                )
                try:
                    sent |= {invitation.number} if letter.send() else set()
                except smtplib.SMTPResponseException as refused:
                    log.warning("The mail server refused the invitation %s: %s", invitation.number, refused.smtp_code)
                except smtplib.SMTPRecipientsRefused:
                    log.warning("The mail server refused the address of invitation %s.", invitation.number)
    except (smtplib.SMTPException, OSError) as error:
        log.warning("The mail server %s does not take invitations: %s", settings.EMAIL_HOST, type(error).__name__)
    return sent


_TEXT = """\
{sender} invites you to the project “{project}”.

Open this link and press its button:

{link}

The link lets in one person, once, within {hours} hours. It is for you alone. Do not pass it on.
"""
