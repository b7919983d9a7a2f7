"""Stage: export, Croissant: croissant.json of a data set folder, which programs read: files, hashes, and the fields of each table.

Source: Croissant 1.0, https://docs.mlcommons.org/croissant/docs/croissant-spec.html. The fields about people follow its RAI extension.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from annotation.export.cards import SPLIT_NAMES, CardFacts, DatasetFile
from annotation.models import Snapshot
from trainer import __version__
from trainer.writers import WRITERS

_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_KINDS = {"text": "sc:Text", "whole number": "sc:Integer", "number": "sc:Float", "true or false": "sc:Boolean"}
_PLURALS = {
    "list of texts": "text",
    "list of numbers": "number",
    "list of 1 and 0": "whole number",
    "list of true and false": "true or false",
}
MEDIA_TYPE = "application/x-parquet"


def write_croissant(snapshot: Snapshot, facts: CardFacts, files: Sequence[DatasetFile]) -> bytes:
    """Return croissant.json. Record sets describe the files with plain columns; one with nested columns is listed with its hash alone."""
    counts = snapshot.counts
    about = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": _name(facts.title),
        "description": f"{facts.title}: {snapshot.count} step-level annotations of {counts['solutions']} model-written solutions to "
        f"{counts['problems']} problems by {counts['people']} people. Snapshot {snapshot.number} of {snapshot.project.slug}.",
        "license": facts.licence,
        "inLanguage": facts.language,
        "datePublished": f"{snapshot.created_at:%Y-%m-%d}",
        "version": f"{snapshot.number}.0.0",
        "citeAs": f"{facts.title}, snapshot {snapshot.number}, SHA-256 {snapshot.sha256}",
        "isLiveDataset": False,
        "creator": {"@type": "sc:Organization", "name": snapshot.project.name or snapshot.project.slug},
        "rai:dataCollection": "People labeled model-written solutions step by step up to the first mistake.",
        "rai:dataAnnotationPlatform": f"Stepmark {snapshot.provenance.get('stepmark', __version__)}",
        "rai:annotationsPerItem": f"{counts['annotations'] / max(counts['solutions'], 1):.2f} on average",
        "rai:annotatorDemographics": "Not collected.",
        "rai:personalSensitiveInformation": "People appear as random pseudonyms only.",
        "rai:dataLimitation": "Steps after the first mistake are not rated. The section Limits of README.md says more.",
        "distribution": [_file(file) for file in files],
        "recordSet": list(_record_sets(files)),
    }
    return orjson.dumps(about, option=orjson.OPT_INDENT_2) + b"\n"


def _file(file: DatasetFile) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": file.path,
        "name": file.path,
        "description": f"{WRITERS[file.config].title} Part: {SPLIT_NAMES[file.part]}.",
        "contentUrl": file.path,
        "contentSize": f"{file.written.n_bytes} B",
        "encodingFormat": MEDIA_TYPE,
        "sha256": file.written.sha256,
    }


def _record_sets(files: Sequence[DatasetFile]) -> Iterator[dict[str, Any]]:
    for file in files:
        fields = WRITERS[file.config].fields
        if any(_kind(field.kind)[0] is None for field in fields):
            continue
        name = f"{file.config}-{SPLIT_NAMES[file.part]}"
        yield {
            "@type": "cr:RecordSet",
            "@id": name,
            "name": name,
            "description": WRITERS[file.config].describe(file.options),
            "field": [
                {
                    "@type": "cr:Field",
                    "@id": f"{name}/{field.name}",
                    "name": field.name,
                    "description": field.meaning,
                    "dataType": _kind(field.kind)[0],
                    "source": {"fileObject": {"@id": file.path}, "extract": {"column": field.name}},
                }
                | ({"repeated": True} if _kind(field.kind)[1] else {})
                for field in fields
            ],
        }


def _kind(words: str) -> tuple[str | None, bool]:
    """Return the data type of a field's kind in words, and whether it is a list. None: it is nested."""
    kind = _PLURALS.get(words)
    return _KINDS.get(kind or words), kind is not None


def _name(title: str) -> str:
    return "-".join("".join(sign if sign.isalnum() else " " for sign in title.casefold()).split())
