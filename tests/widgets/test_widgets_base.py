"""The base of every widget: state, twins, labels, refusals."""

import ipywidgets as ipw
import pytest

from course_lib.show import svg
from course_lib.widgets import base


class Cost(base.Widget):
    title = "Cost <of> an answer"

    def controls(self):
        return {
            "tokens": base.slider("Tokens", 1, 100, 10),
            "price": base.number("Price", 2.5),
            "model": base.choice("Model", {"R1 & friends": "r1", "V3": "v3"}),
            "cached": base.tick("Cached"),
        }

    def picture(self):
        return svg.bars("Cost", {"cost": self.state["tokens"] * self.state["price"]})

    def text(self):
        return f"{self.state['tokens']} tokens <at> {self.state['price']}"


@pytest.fixture(autouse=True)
def no_memory(monkeypatch):
    monkeypatch.setattr(base, "_STATES", {})


@pytest.fixture
def outputs(monkeypatch):
    shown = []
    monkeypatch.setattr(base, "display", lambda bundle, raw: shown.append(bundle))
    return shown


def parts(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from parts(child)


def test_a_moved_control_changes_state_picture_and_words():
    widget = Cost()
    *_, picture, status = parts(widget.widget)
    before = picture.value
    widget._controls["tokens"].value = 20
    assert widget.state["tokens"] == 20
    assert status.text == "20 tokens <at> 2.5"
    assert picture.value != before
    assert "cost: 50" in picture.value


def test_a_cell_run_again_shows_what_the_reader_had_set():
    Cost().set(tokens=33)
    again = Cost()
    assert again.state["tokens"] == 33
    assert "33 tokens" in list(parts(again.widget))[-1].text


def test_keys_and_classes_keep_their_states_apart():
    class Other(Cost):
        pass

    Cost("a").set(tokens=33)
    assert Cost("b").state["tokens"] == Other("a").state["tokens"] == 10


def test_reset_goes_back_to_the_first_values_of_this_call():
    Cost(tokens=7).set(tokens=33)
    again = Cost(tokens=7)
    again.reset()
    assert again.state["tokens"] == 7
    assert Cost(tokens=7).state["tokens"] == 7


def test_a_kept_value_that_no_longer_fits_is_left_out():
    base._STATES["Cost"] = {"model": "gone", "tokens": 44, "renamed": 1, "price": float("nan")}
    assert Cost().state == {"tokens": 44, "price": 2.5, "model": "r1", "cached": False}


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"toknes.*tokens, price"):
        Cost(toknes=3)
    with pytest.raises(ValueError, match="toknes"):
        Cost().set(toknes=3)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"model": "R2"}, r"model cannot be 'R2'; allowed are 'r1'"),
        ({"tokens": "x"}, "tokens .*'x'"),
        ({"tokens": 101}, "tokens cannot be 101; allowed is 1 to 100"),
        ({"tokens": 12.5}, "tokens cannot be 12.5; allowed is 1 to 100, whole"),
        ({"price": float("nan")}, "price cannot be nan; allowed is 0 to "),
        ({"price": -2.5}, "price cannot be -2.5; allowed is 0 to "),
        ({"model": None}, "model cannot be None; allowed are 'r1'"),
    ],
)
def test_a_value_that_a_control_does_not_take_is_refused(wrong, said):
    """Else the words are about another model than the one that was asked for."""
    with pytest.raises(ValueError, match=said):
        Cost(**wrong)
    cost = Cost()
    before = dict(cost.state)
    with pytest.raises(ValueError, match=said):
        cost.set(**{"tokens": 12} | wrong)
    assert cost._read() == cost.state == before, "all or none"


def test_the_twin_has_settings_picture_and_words_escaped():
    twin = Cost().static_html()
    assert "Cost &lt;of&gt; an answer" in twin
    assert "Tokens: 10; Price: 2.5; Model: R1 &amp; friends; Cached: no" in twin
    assert ' alt="Cost. cost: 25" src="data:image/svg+xml;base64,' in twin
    assert "10 tokens &lt;at&gt; 2.5" in twin


def test_the_page_gets_the_live_widget_and_the_twin_it_hides(outputs):
    widget = Cost("x y")
    widget._ipython_display_()
    live, twin = outputs
    assert "application/vnd.jupyter.widget-view+json" in live
    assert set(twin) == {"text/html", "text/plain"}
    assert widget.static_html() in twin["text/html"]
    assert "10 tokens <at> 2.5" in twin["text/plain"]
    assert '<div id="twin-Cost-x-y">' in twin["text/html"]
    assert "#twin-Cost-x-y { display: none; }" in widget.widget.children[0].value


def test_every_control_has_a_label_and_takes_the_keyboard():
    for part in Cost()._controls.values():
        assert part.description and part.tooltip == part.description
        assert part.tabbable is not False


def test_sliders_are_whole_only_when_all_numbers_are():
    assert isinstance(base.slider("a", 1, 9, 2), ipw.IntSlider)
    assert isinstance(base.slider("a", 1, 9, 2, step=0.5), ipw.FloatSlider)


def test_buttons_act_and_rows_wrap():
    pressed = []
    made = base.button("Go", lambda: pressed.append(1))
    made.click()
    assert pressed == [1]
    assert base.row(made).layout.flex_flow == "row wrap"


def test_a_widget_without_words_is_refused():
    class Mute(base.Widget):
        pass

    with pytest.raises(NotImplementedError, match=r"Mute.*text\(\)"):
        Mute().static_html()


def test_the_twin_needs_no_live_widget(monkeypatch):
    monkeypatch.setattr(base.Widget, "_build", lambda self: pytest.fail("built"))
    assert "Tokens: 10" in Cost().static_html()


def test_controls_stand_in_their_groups_and_a_picture_beside_them_where_it_should():
    class Grouped(Cost):
        beside, column = True, "9em"

        def groups(self):
            return {"Size": ["tokens", "cached"], "Price": ["price", "model"]}

    frame = Grouped().widget
    size, price = (part for part in parts(frame) if isinstance(part, ipw.GridBox))
    assert [part.description for part in size.children[1:]] == ["Tokens", "Cached"]
    assert "Price" in price.children[0].value
    # As many columns as there is room for, and no more than the two controls.
    least = "max(min(100%, 9em), calc((100% - 1 * 1.5em) / 2))"
    assert f"minmax({least}, 1fr)" in size.layout.grid_template_columns
    assert any("ir1-beside" in part._dom_classes for part in frame.children)
    assert not any("ir1-beside" in part._dom_classes for part in Cost().widget.children)


def test_values_that_look_alike_can_each_be_chosen():
    made = base.choice("Which", [1, "1"])
    assert made.options == (("1", 1), ("1", "1")) and made.value == 1
    with pytest.raises(IndexError):  # not StopIteration, which would end the loop around it
        base.choice("Which", [])
