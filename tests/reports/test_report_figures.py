import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from pathlib import Path

import matplotlib as mpl
import pytest
from PIL import Image

import reports
from audit.types import Arm, Game, Targets
from reports.drawing import POINTS_MAX, WIDTH_INCH
from reports.report_figures import LEVELS_MAX

_SVG = "{http://www.w3.org/2000/svg}"
HIGH = "fawkes-0.3-high"


def markers(svg: Path, kind: str) -> Mapping[str, list[float]]:
    """Return the x of every marker, in points, by the panel and row that it stands in."""
    found = {}
    for group in ET.parse(svg).iter(f"{_SVG}g"):
        match = re.search(rf"(panel-\d+)-{kind}-(\d+)$", group.get("id", ""))
        if match:
            found[" ".join(match.groups())] = [
                float(use.attrib["x"]) for use in group.iter(f"{_SVG}use")
            ]
    return found


def test_every_probe_with_a_score_is_one_point(study_run: Path) -> None:
    svg = study_run / "report" / "figures" / "scores.svg"
    inside, outside = markers(svg, "points"), markers(svg, "outliers")
    points = {row: len(inside[row]) + len(outside[row]) for row in inside}
    assert len(points) == 4 + 2 + 2 + 2
    assert points.pop("panel-3 1") == 16
    assert set(points.values()) == {31}


def test_of_very_many_probes_some_are_drawn(make_run: Callable[..., Path]) -> None:
    many = [{"score": number / 2000} for number in range(2000)]
    hidden = [{"censored": True, "outcome": "no_match"}] * 600
    run = make_run({"control": many + hidden})
    text = reports.build(run).read_text(encoding="utf-8")
    svg = run / "report" / "figures" / "scores.svg"
    assert len(markers(svg, "points")["panel-0 0"]) == POINTS_MAX
    assert len(markers(svg, "hidden")["panel-0 0"]) == POINTS_MAX
    assert "n = 2000 (+ 600 hidden)" in svg.read_text(encoding="utf-8")
    assert f"Of more than {POINTS_MAX} probes an arm, {POINTS_MAX} chosen at random" in text


def test_of_very_many_levels_some_are_drawn(make_run: Callable[..., Path]) -> None:
    found = [{"outcome": "match", "score": 0.9}] * 20
    lost = [{"outcome": "no_match", "score": 0.2}] * 20
    levels = {f"noise-v{number}": lost[:number] + found[number:] for number in range(20, -1, -1)}
    run = make_run({"control": found, **levels})
    text = reports.build(run).read_text(encoding="utf-8")
    svg = (run / "report" / "figures" / "protection.svg").read_text(encoding="utf-8")
    drawn = [int(level) for level in re.findall(r">Level v(\d+), noise<", svg)]
    assert drawn == [20, 17, 14, 11, 9, 6, 3, 0]  # in the run's order
    assert f"{LEVELS_MAX} of the 21 levels are drawn" in text
    assert len(reports.load(run).tables["summary"]) == 22


def test_hidden_scores_stand_left_of_zero(make_run: Callable[..., Path]) -> None:
    probes = [{"score": 0.0}] * 2 + [{"score": 1.0}] + [{"censored": True}] * 5
    run = make_run({"control": [{"score": 0.9}], HIGH: probes})
    reports.build(run)
    svg = run / "report" / "figures" / "scores.svg"
    hidden = markers(svg, "hidden")
    assert (len(hidden["panel-0 0"]), len(hidden["panel-0 1"])) == (0, 5)
    zeros = [x for kind in ("points", "outliers") for x in markers(svg, kind)["panel-0 1"]]
    assert len(zeros) == 3
    assert max(hidden["panel-0 1"]) < min(zeros)
    assert "hidden by" in svg.read_text()


def test_nothing_is_called_hidden_when_nothing_is(make_run: Callable[..., Path]) -> None:
    run = make_run({"control": [{"score": 0.9}], HIGH: [{"score": 0.2}]})
    reports.build(run)
    assert "hidden by" not in (run / "report" / "figures" / "scores.svg").read_text()


@pytest.mark.parametrize(("threshold", "drawn"), [(0.0, 0), (None, 0), (0.5, 1)])
def test_a_threshold_above_zero_is_a_line(
    make_run: Callable[..., Path], threshold: float | None, drawn: int
) -> None:
    reports.build(run := make_run({"control": [{"score": 0.9}]}, threshold=threshold))
    assert (run / "report" / "figures" / "scores.svg").read_text().count("-threshold") == drawn


def test_no_box_no_rate_no_change_still_draws(make_run: Callable[..., Path]) -> None:
    run = make_run({"control": [{"outcome": "no_face"}], HIGH: []})
    reports.build(run)
    text = (run / "report" / "figures" / "protection.svg").read_text()
    assert text.count("no answer about a face") == 2
    assert markers(run / "report" / "figures" / "change.svg", "points") == {"panel-0 0": []}


def test_changes_have_a_point_per_pair_and_a_median(study_run: Path) -> None:
    svg = study_run / "report" / "figures" / "change.svg"
    inside, outside = markers(svg, "points"), markers(svg, "outliers")
    assert len(inside["panel-3 0"]) + len(outside["panel-3 0"]) == 16
    assert [len(x) for x in markers(svg, "median").values()] == [1] * 6


def lines(svg: Path, name: str) -> Mapping[str, list[tuple[float, float]]]:
    """Return the points, in the figure's own coordinates, of each line whose id has the name."""
    found = {}
    for group in ET.parse(svg).iter(f"{_SVG}g"):
        if name in group.get("id", ""):
            path = group.find(f"{_SVG}path")
            words = re.findall(r"[ML] ([\d.]+) ([\d.]+)", "" if path is None else path.get("d", ""))
            found[group.attrib["id"]] = [(float(x), float(y)) for x, y in words]
    return found


def test_slopes_have_each_arms_median_shift_with_its_interval(
    make_run: Callable[..., Path],
) -> None:
    clean = [{"score": 0.5 + number / 50} for number in range(9)]
    worse = [{"score": 0.3 + number / 50 + number % 2 / 100} for number in range(9)]
    run = make_run({"control": clean, HIGH: worse})
    reports.build(run)
    svg = run / "report" / "figures" / "slopes.svg"
    (start, end), (low, high) = (
        lines(svg, name)[f"slopes-panel-0-{name}"] for name in ("shift-1", "shift-1-interval")
    )
    row = reports.load(run).tables["arm_tests"].iloc[0]
    # The median of the control is .58; a length in the figure is a score times the same factor.
    scale = (end[1] - start[1]) / row["shift"]
    assert row["shift"] == pytest.approx(-0.195)
    assert (low[1] - start[1], high[1] - start[1]) == pytest.approx(
        (scale * row["ci_low"], scale * row["ci_high"]), abs=1e-3
    )
    assert low[0] == high[0] == end[0]


def test_slopes_of_few_probes_have_no_interval(make_run: Callable[..., Path]) -> None:
    run = make_run({"control": [{"score": 0.9}] * 5, HIGH: [{"score": 0.6}] * 5})
    reports.build(run)
    svg = run / "report" / "figures" / "slopes.svg"
    assert lines(svg, "shift-1-interval") == {"slopes-panel-0-shift-1-interval": []}
    assert len(lines(svg, "shift-1")["slopes-panel-0-shift-1"]) == 2  # the shift itself


def test_det_has_a_band_and_wrong_names_have_intervals(study_run: Path) -> None:
    figures = study_run / "report" / "figures"
    text = (figures / "det.svg").read_text(encoding="utf-8")
    assert text.count('-interval"') >= 8  # a band for each arm of each level, the control in each
    low, high = zip(*lines_of_bars(figures / "mistaken.svg"), strict=True)
    assert len(low) == 1
    assert low < high


def lines_of_bars(svg: Path) -> list[tuple[float, float]]:
    group = next(
        each for each in ET.parse(svg).iter(f"{_SVG}g") if each.get("id", "").endswith("-intervals")
    )
    found = []
    for path in group.iter(f"{_SVG}path"):
        start, end = map(float, re.findall(r"[ML] ([\d.]+)", path.attrib["d"]))
        found.append((start, end))
    return found


def test_names_are_drawn_as_they_are(make_run: Callable[..., Path]) -> None:
    odd = Arm('a "$x_1$" <b> 名 & id="q"', Game.POISON, "$sys$<i>", "名", Targets.SAME, 1.0)
    twin = Arm("twin", Game.POISON, "$sys$<i>", "名", Targets.SAME, 1.0)
    run = make_run({"control": [{"score": 0.9}], odd: [{"score": 0.8}], twin: []})
    (run / "cloaked" / "cloaks.jsonl").unlink()
    reports.build(run)
    texts = "\n".join(ET.parse(run / "report" / "figures" / "scores.svg").getroot().itertext())
    assert "Level 名, $sys$<i>" in texts
    assert 'Same target (a "$x_1$" <b> 名 & id="q")' in texts


def test_figures_say_what_they_show_and_share_no_id(study_run: Path) -> None:
    ids: list[str] = []
    for svg in sorted((study_run / "report" / "figures").glob("*.svg")):
        root = ET.parse(svg).getroot()
        assert root.get("role") == "img"
        assert len(root.get("aria-label", "")) > 40
        ids += [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    assert len(ids) == len(set(ids))


def test_drawing_leaves_the_users_settings_alone(make_run: Callable[..., Path]) -> None:
    before = dict(mpl.rcParams)
    reports.build(make_run({"control": [{"score": 0.9}]}))
    assert dict(mpl.rcParams) == before


def test_every_figure_is_a_png_too_that_tells_neither_when_nor_with_what(study_run: Path) -> None:
    folder = study_run / "report" / "figures"
    names = {path.stem for path in folder.glob("*.svg")}
    assert {path.stem for path in folder.glob("*.png")} == names
    for path in folder.glob("*.png"):
        with Image.open(path) as picture:
            picture.load()
            assert picture.info == {}
            assert picture.width == round(WIDTH_INCH * 200)
            assert picture.getpixel((0, 0)) == (255, 255, 255)


def test_every_kind_of_figure_is_there(study_run: Path) -> None:
    figures = study_run / "report" / "figures"
    assert {path.stem for path in figures.glob("*.svg")} == {
        *("scores", "protection", "threshold", "rank", "roc", "det", "slopes", "change"),
        *("perturbation", "cloaking_time", "timeline", "left_out", "mistaken"),
    }
