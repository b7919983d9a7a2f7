"""A site and its projects, as a script sees them."""

from collections.abc import Iterable, Sequence
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias

import httpx

from stepmark_client.generated.api.account import me
from stepmark_client.generated.api.annotations import annotations_list, annotations_show
from stepmark_client.generated.api.batches import batches_list, batches_show
from stepmark_client.generated.api.consensus import consensus_list, consensus_show
from stepmark_client.generated.api.models import models_list, models_show, scores_list
from stepmark_client.generated.api.people import people_list
from stepmark_client.generated.api.problems import problems_list, problems_load, problems_show
from stepmark_client.generated.api.projects import projects_list, projects_show
from stepmark_client.generated.api.solutions import solutions_list, solutions_load, solutions_show
from stepmark_client.generated.models.annotation import Annotation
from stepmark_client.generated.models.batch import Batch
from stepmark_client.generated.models.consensus import Consensus
from stepmark_client.generated.models.loaded import Loaded
from stepmark_client.generated.models.me import Me
from stepmark_client.generated.models.member import Member
from stepmark_client.generated.models.model import Model
from stepmark_client.generated.models.model_detail import ModelDetail
from stepmark_client.generated.models.problem import Problem
from stepmark_client.generated.models.project import Project as ProjectData
from stepmark_client.generated.models.project_detail import ProjectDetail
from stepmark_client.generated.models.score import Score
from stepmark_client.generated.models.solution import Solution
from stepmark_client.generated.models.solutions_load_line_format import SolutionsLoadLineFormat
from stepmark_client.generated.models.solutions_load_steps_by import SolutionsLoadStepsBy
from stepmark_client.generated.types import UNSET, File, Response
from stepmark_client.labels import Labels
from stepmark_client.lists import Collection, Listing
from stepmark_client.orders import Orders, Snapshots
from stepmark_client.rounds import Rounds
from stepmark_client.score_jobs import ScoreJobs
from stepmark_client.transport import PatientClient, http_client
from stepmark_client.uploads import Uploaded, Wrong, upload
from stepmark_client.work import Progress

if TYPE_CHECKING:
    import pandas

Lines: TypeAlias = "Iterable[dict[str, Any]] | str | PathLike[str] | pandas.DataFrame"
AGENT = "stepmark-client"


class Stepmark:
    """A site, as the person whose API token is given.

    `retries`: how often a request is sent again after an outage, a limit or a lost connection. `timeout`: seconds without an answer
    until a connection counts as lost. `transport`: how requests reach the site, if not in the usual way (httpx.HTTPTransport(proxy=..)).
    `api` sends the requests: each `call` in stepmark_client.generated.api takes it.
    """

    def __init__(
        self, url: str, token: str, *, retries: int = 5, timeout: float = 120.0, transport: httpx.BaseTransport | None = None
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"The address of a site begins with https:// or http://, and {url!r} does not.")
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise ValueError("The token must be one word. Copy it from the page “Your API tokens” of your account.")
        self.url = url.rstrip("/").removesuffix("/api/v1")
        # The token is in its headers, where nothing prints it.
        self.api = http_client(self.url, token, agent=AGENT, retries=retries, timeout=timeout, transport=transport)
        self.projects: Listing[ProjectData] = Listing(self.api, projects_list.call)

    def __repr__(self) -> str:
        return f"Stepmark({self.url!r})"

    def __enter__(self) -> "Stepmark":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.api.close()

    def me(self) -> Me:
        """Return whose token this is, and what it allows at most."""
        return me.call(client=self.api).parsed

    def project(self, slug: str) -> "Project":
        """Return a project by the name in its addresses. The site is not asked."""
        return Project(self.api, slug)


class Project:
    """A project of a site."""

    def __init__(self, api: PatientClient, slug: str) -> None:
        self._api, self.slug = api, slug
        self.problems = Problems(api, problems_list.call, problems_show.call, slug)
        self.solutions = Solutions(api, solutions_list.call, solutions_show.call, slug)
        self.batches: Collection[Batch, Batch] = Collection(api, batches_list.call, batches_show.call, slug)
        self.annotations: Collection[Annotation, Annotation] = Collection(api, annotations_list.call, annotations_show.call, slug)
        self.labels = Labels(self.annotations)
        self.consensus: Collection[Consensus, Consensus] = Collection(api, consensus_list.call, consensus_show.call, slug)
        self.rounds = Rounds(api, slug)
        self.models = Models(api, models_list.call, models_show.call, slug)
        self.score_jobs = ScoreJobs(api, slug)
        self.snapshots = Snapshots(api, slug)
        self.orders = Orders(api, slug)
        self.people: Listing[Member] = Listing(api, people_list.call, slug)

    def __repr__(self) -> str:
        return f"<Project {self.slug}>"

    def details(self) -> ProjectDetail:
        """Return its name, your role in it, and its guidelines. Raises NotFound."""
        return projects_show.call(self.slug, client=self._api).parsed

    def scores(self, model: int | None = None) -> Listing[Score]:
        """Return what a model says of each solution: of the model with this number, or of the one that serves. Raises LookupError."""
        number = self.models.serving().number if model is None else model
        return Listing(self._api, scores_list.call, self.slug, number)


def named(project: Project, **how: str) -> str:
    """Return what is done with an upload, for its keys. A project that was made anew under the same name is another one."""
    made = project.details().created_at.isoformat()
    return "\0".join([project.slug, made, *(f"{name}={value}" for name, value in sorted(how.items()))])


class Problems(Collection[Problem, Problem]):
    """The problems of a project."""

    def upload(self, lines: Lines, *, wrong: Wrong = "refuse", progress: Progress | None = None) -> Uploaded:
        """Load problems: a file of JSON lines, a table, or objects. Known ones stay as they are. See Solutions.upload."""
        slug = str(self._place[0])

        def send(body: File, key: str) -> Response[Loaded]:
            return problems_load.call(slug, client=self._api, body=body, wrong=wrong, idempotency_key=key, content_encoding="gzip")

        return upload(send, lines, named=named(Project(self._api, slug), what="problems", wrong=wrong), progress=progress)


class Solutions(Collection[Solution, Solution]):
    """The solutions of a project."""

    def upload(
        self,
        lines: Lines,
        *,
        source: str = "",
        steps_by: SolutionsLoadStepsBy = "lines",
        line_format: SolutionsLoadLineFormat = "generic",
        mapping: Sequence[str] = (),
        wrong: Wrong = "refuse",
        progress: Progress | None = None,
    ) -> Uploaded:
        """Load solutions with their problems: a file of JSON lines (also .gz), a table, or objects, as many as there are.

        `source` names the generator of lines that name none, `steps_by` the rule that cuts a solution that is one text. Lines of another
        labeling tool (`line_format`) can have labels, and `mapping` says what its fields and values mean, each as "NAME=VALUE". With
        wrong="skip", wrong lines are left out and `skipped` names them. With wrong="refuse" the first chunk (10,000 lines) with a
        wrong line stores nothing and raises BadLines, which names the lines; the chunks before are stored. `progress` is called with
        "upload", the lines sent, and all lines if their number is known. An upload that broke off can be run again.
        """
        slug = str(self._place[0])

        def send(body: File, key: str) -> Response[Loaded]:
            return solutions_load.call(
                slug,
                client=self._api,
                body=body,
                source=source or UNSET,
                steps_by=steps_by,
                line_format=line_format,
                mapping="\n".join(mapping) or UNSET,
                wrong=wrong,
                idempotency_key=key,
                content_encoding="gzip",
            )

        how = {"what": "solutions", "source": source, "steps_by": steps_by, "wrong": wrong}
        if line_format != "generic":  # the keys of other uploads stay as they were
            how |= {"line_format": line_format, "mapping": "\n".join(mapping)}
        return upload(send, lines, named=named(Project(self._api, slug), **how), progress=progress)


class Models(Collection[Model, ModelDetail]):
    """The model versions of a project."""

    def serving(self) -> Model:
        """Return the version that scores solutions now. Raises LookupError if none does."""
        for version in self.iterate(state="ready"):
            if version.serves:
                return version
        raise LookupError("No model of this project serves yet.")
