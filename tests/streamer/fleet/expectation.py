"""What a stream's events are when one process sees every shot once."""

from __future__ import annotations

from models.mixture import Moae
from streamer.config.sections import SegmentSection
from streamer.events.cloudevent import cloud_event
from streamer.fleet.record import ShotRecord, decode, encode
from streamer.pipeline.segmentation import StreamSegmentation


def expected(stream: list[ShotRecord], model: Moae) -> set[str]:
    segmentation = StreamSegmentation(stream[0].stream, model, SegmentSection(threshold=0.0))
    found = []
    for record in stream:
        held = decode(encode(record))
        if segmentation.epoch is None or segmentation.epoch.number != held.epoch.number:
            found += segmentation.begin(held.epoch)
        found += segmentation.finish() if held.shot is None else segmentation.push(held.shot)
    return {str(cloud_event(data).get_id()) for data in found}
