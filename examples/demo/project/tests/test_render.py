import unittest

from humantime import parse, render


class Render(unittest.TestCase):
    def test_two_units(self):
        for seconds, text in [
            (0, "0 s"),
            (59, "59 s"),
            (61, "1 min 1 s"),
            (3_600, "1 h"),
            (5_400, "1 h 30 min"),
            (86_400 + 7_200, "1 d 2 h"),
            (-90, "-1 min 30 s"),
        ]:
            with self.subTest(seconds):
                self.assertEqual(render(seconds), text)

    def test_more_parts(self):
        self.assertEqual(render(90_061, parts=4), "1 d 1 h 1 min 1 s")
        self.assertEqual(render(90_061, parts=1), "1 d")

    def test_rounding_carries_over(self):
        for seconds, text in [
            (59.6, "1 min"),
            (119.7, "2 min"),
            (3_599.9, "1 h"),
            (86_399, "1 d"),
            (2 * 86_400 - 1, "2 d"),
        ]:
            with self.subTest(seconds):
                self.assertEqual(render(seconds), text)

    def test_what_is_rendered_can_be_parsed(self):
        for seconds in [0, 1, 60, 3_661, 90_000, 123_456, 31_536_000]:
            again = parse(render(seconds, parts=4))
            self.assertEqual(again, seconds)
