"""The picture that an authenticator app scans: a QR code as an address of the kind data:, so that no other site is asked for it."""

import segno


def picture_of(address: str) -> str:
    """Return a QR code as a data: address of an SVG, black on white in both themes."""
    picture: str = segno.make(address, error="m").svg_data_uri(scale=5, border=4, dark="#000", light="#fff")
    return picture
