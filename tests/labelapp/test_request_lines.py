"""What gunicorn refuses before Django sees it: Django itself cannot read every header."""

import pytest
from gunicorn.config import Config
from gunicorn.http.errors import InvalidHeader
from gunicorn.http.parser import RequestParser

from benchmarks import hostile


@pytest.mark.parametrize("value", hostile.NOT_HANDED_ON)
@pytest.mark.parametrize("name", ["Content-Type", "Cookie", "X-Anything"])
def test_a_header_with_a_nul_or_a_line_break_is_refused(name: str, value: str) -> None:
    line = f"POST / HTTP/1.1\r\nHost: testserver\r\n{name}: {value}\r\n\r\n".encode()
    with pytest.raises(InvalidHeader):
        next(RequestParser(Config(), iter([line]), ("127.0.0.1", 1)))
