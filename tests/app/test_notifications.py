from __future__ import annotations

import pytest
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QWidget

from analysis.errors import InputError
from app.notifications import Message, Notifications, message_of


@pytest.fixture
def strip(qtbot):
    host = QWidget()
    host.resize(800, 600)
    qtbot.addWidget(host)
    host.show()
    strip = Notifications(host)
    yield strip
    strip.clear()


def test_unusable_input_is_told_without_a_trace():
    message = message_of(InputError("a.pt", "It is empty.", "Save it again."), "Open a.pt")
    assert message == Message("error", "Open a.pt: a.pt: It is empty. Save it again.")


def test_our_own_fault_carries_its_trace():
    try:
        raise RuntimeError("broken")
    except RuntimeError as error:
        message = message_of(error)
    assert "broken" in message.text
    assert "test_notifications.py" in message.details


def test_a_message_is_shown_once_folded_and_can_be_copied(strip):
    message = Message("error", "It broke.", "Traceback")
    strip.show_message(message)
    strip.show_message(message)
    (toast,) = strip.toasts()
    assert toast._details.isHidden()
    toast._fold.click()
    assert not toast._details.isHidden()
    toast.copy()
    assert QGuiApplication.clipboard().text() == "It broke.\n\nTraceback"
    toast.close()
    assert strip.toasts() == []


def test_only_the_newest_messages_stay(strip):
    for i in range(9):
        strip.show_message(Message("warning", str(i)))
    assert [toast.message.text for toast in strip.toasts()] == ["5", "6", "7", "8"]
