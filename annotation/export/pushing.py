"""Stage: export, pushing: hand a data set folder to a hub, by huggingface_hub. The folder is checked first; the hub gets one commit."""

import os
import re
from pathlib import Path

from annotation.export.folders import MATCHES, check_dataset_folder
from annotation.ingest import Progress

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


class PushFailed(RuntimeError):
    """The hub did not take the folder. The message says why and what to do."""


def push_dataset_folder(
    folder: Path | str, repository: str, *, token: str | None = None, public: bool = False, progress: Progress | None = None
) -> str:
    """Upload a data set folder to a hub and return the address of the commit. A new repository is private unless `public`.

    Without `token` it is that of HF_TOKEN or of `hf auth login`; HF_ENDPOINT names another hub. Data files that the repository has and the
    folder does not are deleted in the same commit. `progress("pushing", bytes, total)` is called after each file. Raises BadFolder, and
    PushFailed: then the repository is as it was, unless the commit arrived and its answer was lost. Pushing again does no harm.
    """
    # Loaded here: the other commands of the site do not need a client of a hub.
    import httpx2
    import huggingface_hub
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    place = Path(folder)
    names = check_dataset_folder(place)
    if not _REPOSITORY.fullmatch(repository):
        raise PushFailed(f"{repository} is no repository. Write OWNER/NAME, such as anna/math-labels.")
    token = token or huggingface_hub.get_token()
    if not token:
        raise PushFailed("There is no token for the hub. Set HF_TOKEN, or sign in once with: hf auth login.")
    had_bars = not are_progress_bars_disabled()
    disable_progress_bars()  # ours is shown, also where nobody watches a terminal
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=token, library_name="stepmark")
    try:
        api.create_repo(repository, repo_type="dataset", private=not public, exist_ok=True)
        additions = [CommitOperationAdd(name, place / name) for name in names]
        total, done = sum((place / name).stat().st_size for name in names), 0
        for name, addition in zip(names, additions, strict=True):
            api.preupload_lfs_files(repository, [addition], repo_type="dataset")
            done += (place / name).stat().st_size
            if progress:
                progress("pushing", done, total)
        there = api.list_repo_files(repository, repo_type="dataset")
        old = [name for name in there if (name.startswith("data/") or name == MATCHES) and name not in names]
        commit = api.create_commit(
            repository,
            [*additions, *(CommitOperationDelete(name) for name in old)],
            commit_message="Data set folder of Stepmark",
            repo_type="dataset",
        )
    except HFValidationError as error:
        raise PushFailed(f"{repository} is no name of a repository: {error}") from error
    except HfHubHTTPError as error:
        raise PushFailed(_refusal(error, repository, api.endpoint)) from error
    except (httpx2.TransportError, OfflineModeIsEnabled, ConnectionError, TimeoutError) as error:  # the last two: of Xet, its storage
        raise PushFailed(
            f"{api.endpoint} does not answer ({error}). Check the network, and push again: files that arrived are kept."
        ) from error
    except RuntimeError as error:  # of one file; the reason is its cause
        raise PushFailed(f"{error} {error.__cause__ or ''}".strip() + " Push again: files that arrived are kept.") from error
    except (ValueError, KeyError) as error:  # what the hub answered is not what huggingface_hub expects
        raise PushFailed(f"The answer of {api.endpoint} cannot be read: {error}. Check HF_ENDPOINT.") from error
    finally:
        if had_bars:
            enable_progress_bars()
    return str(commit.commit_url)


def _refusal(error: "Exception", repository: str, endpoint: str) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    said = str(getattr(error, "server_message", None) or "").strip().rstrip(".")
    said = f" It says: {said}." if said else ""
    if status == 401:
        return f"{endpoint} does not accept the token.{said} Make a new one with the right to write, and set HF_TOKEN."
    if status == 403:
        return f"The token cannot write to {repository}.{said} Use a token with the right to write, or another repository."
    if status == 404:
        return f"{endpoint} has no {repository}, and did not make it.{said} Check the name of the owner."
    return f"{endpoint} refused the folder (status {status}).{said} Mend what it names, and push again."
