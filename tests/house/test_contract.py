"""Every line of the contract has a test that names it."""
import contract_coverage
import tree


def test_no_line_is_without_a_test():
    assert [line for line, tests in contract_coverage.coverage().items()
            if not tests] == []


def test_tests_name_lines_that_there_are():
    assert contract_coverage.unknown() == []


def test_table_is_up_to_date():
    assert tree.text(contract_coverage.TABLE) == contract_coverage.table(), \
        "run make coverage-of-contract"


def test_readers_see_what_names_a_line():
    assert list(contract_coverage.in_c(
        'XT_TEST(a_case, "C6 defect-2")\nXT_TEST(other,\n "X1 C19")')) == \
        [("a_case", {"C6"}), ("other", {"X1", "C19"})]
    assert list(contract_coverage.in_python(
        'def test_B3_x():\n pass\ndef test_y():\n "Y, by B4."\n'
        'def no_test_B5():\n pass\n')) == \
        [("test_B3_x", {"B3"}), ("test_y", {"B4"})]
    assert list(contract_coverage.in_ocaml('case "B6 closed" f; "UTF8"')) == \
        [("B6 closed", {"B6"})]
