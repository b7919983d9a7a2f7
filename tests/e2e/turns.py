"""In which window and colours axe-core looks at a page: it takes most of the browser's processor time."""

from weakref import WeakKeyDictionary

from playwright.sync_api import Page


class Turns:
    """In which of its two looks axe-core looks at a page: in the long form in both, in the short form in one and the other in turn.

    The first is the other window with the other colours. In its own, a phone in the dark, test_every_page.py looks at every page.
    """

    is_thorough = False  # set by conftest.py
    taken: WeakKeyDictionary[Page, int] = WeakKeyDictionary()

    @classmethod
    def next(cls, page: Page) -> tuple[bool, bool]:
        """Return whether axe-core looks at the page as it is, and in the other look."""
        cls.taken[page] = turn = cls.taken.get(page, 0) + 1
        return cls.is_thorough or turn % 2 == 0, cls.is_thorough or turn % 2 == 1
