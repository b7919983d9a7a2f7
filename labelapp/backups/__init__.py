"""A backup of the whole site as one file, made while people work, and its restoring into an empty database and home.

The file is a tar: `database.dump` (pg_dump's own format), then the files that the rows of the dump name, under their names in the home,
and last `manifest.json` with the sha256 of each. Not in it: the secret key and the sessions, so a stolen backup signs nobody in; messages
of the broker, which come again from the database; logs.
"""

from labelapp.backups.archive import BackupRefused
from labelapp.backups.restoring import Restored, restore
from labelapp.backups.writing import BackedUp, back_up

__all__ = ["BackedUp", "BackupRefused", "Restored", "back_up", "restore"]
