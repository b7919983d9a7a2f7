"""Uploaded files: written to the disk, and refused before they are read if they are too large."""

from typing import Any

from django.core.exceptions import BadRequest
from django.core.files.uploadhandler import TemporaryFileUploadHandler

from annotation import imports

FORM_BYTES = 1_000_000  # of the other fields, and of what is between them


class LimitedUploadHandler(TemporaryFileUploadHandler):
    """Django's handler that writes to a temporary file. Django limits the other fields of a form, but no file."""

    def handle_raw_input(
        self, input_data: Any, META: dict[str, Any], content_length: int, boundary: str, encoding: str | None = None
    ) -> Any:
        """Refuse a request that is larger than the largest file."""
        if content_length > imports.MEGABYTES * 10**6 + FORM_BYTES:
            raise BadRequest(
                f"The file is larger than {imports.MEGABYTES:,} MB. Compress it with gzip, divide it, or load it on the server with "
                "manage.py load_solutions --megabytes."
            )
        return super().handle_raw_input(input_data, META, content_length, boundary, encoding)
