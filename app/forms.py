"""Forms made from pydantic models: ranges, units and help are declared once, in the model.

    class Magnitude(BaseModel):
        power: int = Field(2, ge=1, le=4, description="Exponent of the absolute weight.")

    form = ModelForm(Magnitude)      # one spin box, 1 to 4, with that help
    form.value()                     # Magnitude(power=2)

bool -> check box, Literal or Enum -> combo box, int and float -> spin box with the field's range,
anything else -> a line of text read as JSON where it is JSON.
"""

from __future__ import annotations

import contextlib
import enum
import json
import types
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QLabel,
    QLineEdit,
    QSpinBox,
    QWidget,
)

_INT = 2**31 - 1


class ModelForm(QWidget):
    """A form for one pydantic model class. `changed` follows every edit that is valid."""

    changed = Signal()

    def __init__(self, model: type[BaseModel], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = model
        self._fields: dict[str, QWidget] = {}
        layout = QFormLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setHorizontalSpacing(12)
        layout.setVerticalSpacing(6)
        layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        for name, info in model.model_fields.items():
            widget = field_widget(name, info)
            self._fields[name] = widget
            label = QLabel(field_title(name, info))
            label.setObjectName("muted")
            label.setBuddy(widget)
            layout.addRow(label, widget)
            _change_signal(widget).connect(self._edited)
        self.setVisible(bool(self._fields))

    def field(self, name: str) -> QWidget:
        """The widget of one field."""
        return self._fields[name]

    def value(self) -> BaseModel:
        """The model as filled in. ValidationError when the fields do not go together."""
        return self._model(**{name: read(widget) for name, widget in self._fields.items()})

    def set_value(self, value: BaseModel) -> None:
        """Show a model; `changed` is not emitted."""
        for name, widget in self._fields.items():
            blocked = widget.blockSignals(True)
            write(widget, getattr(value, name))
            widget.blockSignals(blocked)

    def _edited(self) -> None:
        with contextlib.suppress(ValidationError):
            self.value()
            self.changed.emit()


def field_title(name: str, info: FieldInfo) -> str:
    """What the label says: the field's title, or its name in words."""
    return info.title or name.replace("_", " ").capitalize()


def field_widget(name: str, info: FieldInfo) -> QWidget:
    """The widget for one field, with its range, help and accessible name, showing its default."""
    kind = _bare(info.annotation)
    choices = _choices(kind)
    widget: QWidget
    if kind is bool:
        widget = QCheckBox()
    elif choices:
        widget = QComboBox()
        narrow(widget)
        for choice in choices:
            value = choice.value if isinstance(choice, enum.Enum) else choice
            widget.addItem(str(value).replace("_", " "), choice)
    elif kind is int:
        widget = _int_spin(info)
    elif kind is float:
        widget = _float_spin(info)
    else:
        widget = QLineEdit()
    widget.setAccessibleName(field_title(name, info))
    if info.description:
        widget.setToolTip(info.description)
        widget.setWhatsThis(info.description)
        widget.setAccessibleDescription(info.description)
    if not info.is_required():
        write(widget, info.get_default(call_default_factory=True))
    return widget


def narrow(combo: QComboBox) -> None:
    """Let a combo box be narrower than its longest item, whose text is then cut short."""
    policy = QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
    combo.setSizeAdjustPolicy(policy)
    combo.setMinimumContentsLength(8)


def read(widget: QWidget) -> Any:
    """The value a field's widget holds."""
    if isinstance(widget, QCheckBox):
        return widget.isChecked()
    if isinstance(widget, QComboBox):
        return widget.currentData(Qt.ItemDataRole.UserRole)
    if isinstance(widget, (QSpinBox, QDoubleSpinBox)):
        return widget.value()
    text = widget.text()
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def write(widget: QWidget, value: Any) -> None:
    """Show a value in a field's widget."""
    if isinstance(widget, QCheckBox):
        widget.setChecked(bool(value))
    elif isinstance(widget, QComboBox):
        for index in range(widget.count()):
            if widget.itemData(index) == value:
                widget.setCurrentIndex(index)
    elif isinstance(widget, (QSpinBox, QDoubleSpinBox)):
        if value is not None:
            widget.setValue(value)
    else:
        widget.setText(value if isinstance(value, str) else json.dumps(value, default=list))


def _int_spin(info: FieldInfo) -> QSpinBox:
    low, high = _range(info, 1)
    spin = QSpinBox()
    spin.setRange(int(max(-_INT, low)), int(min(_INT, high)))
    spin.setGroupSeparatorShown(False)
    return spin


def _float_spin(info: FieldInfo) -> QDoubleSpinBox:
    default = info.get_default(call_default_factory=True) if not info.is_required() else None
    decimals = 3
    if isinstance(default, float) and default and abs(default) < 0.01:
        decimals = 6
    low, high = _range(info, 10.0**-decimals)
    spin = QDoubleSpinBox()
    spin.setDecimals(decimals)
    spin.setRange(max(-1e9, low), min(1e9, high))
    spin.setSingleStep(0.05 if high - low <= 1 else 1.0 if high - low > 50 else 0.1)
    spin.setStepType(QDoubleSpinBox.StepType.DefaultStepType)
    return spin


def _range(info: FieldInfo, step: float) -> tuple[float, float]:
    """Limits from ge, gt, le, lt; an open limit is moved inside by `step`."""
    low, high = float("-inf"), float("inf")
    for rule in info.metadata:
        low = max(low, getattr(rule, "ge", low))
        high = min(high, getattr(rule, "le", high))
        if getattr(rule, "gt", None) is not None:
            low = max(low, rule.gt + step)
        if getattr(rule, "lt", None) is not None:
            high = min(high, rule.lt - step)
    return low, high


def _bare(annotation: Any) -> Any:
    """The type behind `X | None` and `Annotated[X, ...]`."""
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        return _bare(kinds[0]) if len(kinds) == 1 else annotation
    if hasattr(annotation, "__metadata__"):
        return _bare(annotation.__origin__)
    return annotation


def _choices(kind: Any) -> tuple[Any, ...]:
    if get_origin(kind) is Literal:
        return get_args(kind)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return tuple(kind)
    return ()


def _change_signal(widget: QWidget) -> Any:
    if isinstance(widget, QCheckBox):
        return widget.toggled
    if isinstance(widget, QComboBox):
        return widget.currentIndexChanged
    if isinstance(widget, (QSpinBox, QDoubleSpinBox)):
        return widget.valueChanged
    return widget.editingFinished
