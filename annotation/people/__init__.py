"""Stage: people. Who can sign in, how, and who can do what in a project.

Reads and writes accounts, Membership and BrowserSession, and the second factors of django-otp. Every page and every later stage asks here.
"""

from typing import TYPE_CHECKING

from annotation.people.erasing import CannotErase, erase, erased_name, person_erased
from annotation.people.links import link_to_sign_in, person_of_link, redeem_link
from annotation.people.memberships import (
    LABELERS,
    MANAGERS,
    MAY_LABEL,
    OWNERS,
    RESEARCHERS,
    WRITERS,
    Access,
    NoSuchAccount,
    NotMember,
    access_to,
    find_account,
    may_administrate,
    member_to_invite,
    project_of_assignment,
)
from annotation.people.passwords import forget_password, has_password, seconds_to_wait, set_password, unlock
from annotation.people.second_factor import (
    CODES,
    BadCode,
    NextStep,
    check_code,
    confirm_app,
    has_second_factor,
    is_required,
    make_recovery_codes,
    new_app,
    next_step,
    remove_second_factor,
    secret_of,
)
from annotation.people.sessions import (
    OpenSession,
    end_all_sessions_without_proof,
    end_others,
    end_session,
    end_sessions_without_proof,
    reset_second_factor,
    sessions_of,
    watch_promotions,
)
from annotation.people.set_up import AlreadySetUp, NameTaken, is_set_up, is_set_up_token, link_to_set_up, set_up

if TYPE_CHECKING:
    from annotation.people.memberships import Person

__all__ = [
    "CODES",
    "LABELERS",
    "MANAGERS",
    "MAY_LABEL",
    "OWNERS",
    "RESEARCHERS",
    "WRITERS",
    "Access",
    "AlreadySetUp",
    "NameTaken",
    "BadCode",
    "CannotErase",
    "NextStep",
    "NoSuchAccount",
    "NotMember",
    "OpenSession",
    "Person",
    "access_to",
    "check_code",
    "confirm_app",
    "end_all_sessions_without_proof",
    "end_others",
    "end_session",
    "end_sessions_without_proof",
    "erase",
    "erased_name",
    "find_account",
    "forget_password",
    "has_password",
    "has_second_factor",
    "is_required",
    "is_set_up",
    "is_set_up_token",
    "link_to_set_up",
    "link_to_sign_in",
    "make_recovery_codes",
    "may_administrate",
    "member_to_invite",
    "new_app",
    "next_step",
    "person_erased",
    "person_of_link",
    "project_of_assignment",
    "redeem_link",
    "remove_second_factor",
    "reset_second_factor",
    "secret_of",
    "seconds_to_wait",
    "sessions_of",
    "set_password",
    "set_up",
    "unlock",
    "watch_promotions",
]
