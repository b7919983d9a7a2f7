import pytest
from tests.labelapp.test_bad_requests import *
def test_each(staff):
    failed=set()
    for address in ADDRESSES:
        if address.startswith("/admin"): continue
        for n in NAMES:
            for v in ("99999999999999999999","1e400","NaN","²"):
                for m in ("get","post"):
                    a=getattr(staff,m)(address,{n:v}); a.streaming and b"".join(a)
                    if a.status_code>=500: failed.add((m,address,n,v[:10]))
    assert not failed, failed
