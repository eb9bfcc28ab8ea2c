import unittest

from humantime import DurationError, parse


class Parse(unittest.TestCase):
    def test_forms(self):
        for text, seconds in [
            ("90s", 90),
            ("1h30m", 5_400),
            ("1 h 30 min", 5_400),
            ("90 minutes", 5_400),
            ("1.5h", 5_400),
            ("-2d", -172_800),
            ("+1 day 1 s", 86_401),
            ("0.25 s", 0.25),
        ]:
            with self.subTest(text):
                self.assertEqual(parse(text), seconds)

    def test_whole_results_are_ints(self):
        self.assertIsInstance(parse("1.5h"), int)

    def test_what_is_no_duration(self):
        for text in ["", " ", "-", "5", "h", "5 parsecs", "1h 2h", "1h and 2m", "1..5h"]:
            with self.subTest(text), self.assertRaises(DurationError):
                parse(text)

    def test_the_message_names_the_unit(self):
        with self.assertRaisesRegex(DurationError, "parsecs"):
            parse("12 parsecs")
