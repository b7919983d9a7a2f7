"""Stage: people, sign-in links. A link signs one person in, once, within a day (django-sesame).

Opening a link uses nothing up: chats and mail programs open links for their previews. The button on its page redeems it.
"""

from django.contrib.auth.models import User, update_last_login
from django.db import transaction
from django.urls import reverse
from sesame.backends import ModelBackend
from sesame.utils import get_query_string


def link_to_sign_in(person: User) -> str:
    """Return the path of a new sign-in link. It ends with the next sign-in of the person, with a new password, and after a day."""
    return reverse("sign-in-link") + get_query_string(person)


def person_of_link(token: str) -> User | None:
    """Return the person whom a link would sign in. None: it was used before, is too old, or is no link of this site."""
    person: User | None = ModelBackend().authenticate(None, sesame=token)
    return person


def redeem_link(token: str) -> User | None:
    """Use a link up and return its person, as `person_of_link` does. Of two requests at the same moment, one gets the person."""
    with transaction.atomic():
        if (person := person_of_link(token)) is None:
            return None
        # The token contains the time of the last sign-in. The lock makes the second request wait until the first has changed it.
        User.objects.select_for_update(no_key=True).get(pk=person.pk)
        if (person := person_of_link(token)) is not None:
            update_last_login(User, person)
        return person
