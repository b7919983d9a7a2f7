"""Python client of Stepmark: `Stepmark(url, token).project("sums")` uploads solutions, reads labels and starts rounds.

`stepmark_client.generated` has every address of the API as a typed function (script/client writes it). The rest of the package is what
scripts use: lists without pages, uploads that can be run again, rounds that are waited for, errors with a code.
"""

from stepmark_client.errors import (
    BadLines,
    BadRequest,
    Conflict,
    DownloadBroken,
    NotAllowed,
    NotFound,
    NotSignedIn,
    Outage,
    PandasMissing,
    RequestRefused,
    SiteFault,
    StepmarkError,
    TooLarge,
    TooManyRequests,
    Unreachable,
    WorkEnded,
)
from stepmark_client.orders import Order
from stepmark_client.rounds import Round
from stepmark_client.score_jobs import ScoreJob
from stepmark_client.site import Project, Stepmark
from stepmark_client.uploads import Uploaded

__version__ = "0.1.0"
__all__ = [
    "BadLines",
    "BadRequest",
    "Conflict",
    "DownloadBroken",
    "NotAllowed",
    "NotFound",
    "NotSignedIn",
    "Order",
    "Outage",
    "PandasMissing",
    "Project",
    "RequestRefused",
    "Round",
    "ScoreJob",
    "SiteFault",
    "Stepmark",
    "StepmarkError",
    "TooLarge",
    "TooManyRequests",
    "Unreachable",
    "Uploaded",
    "WorkEnded",
]
