add_test(NAME lint COMMAND bash ${CMAKE_CURRENT_LIST_DIR}/lint.sh)
set_tests_properties(lint PROPERTIES LABELS "lint;unit" TIMEOUT 60)
# Formatting is checked where the formatter is there; its absence is said, not passed over.
add_test(NAME format COMMAND bash ${CMAKE_CURRENT_LIST_DIR}/format.sh)
set_tests_properties(format PROPERTIES LABELS "lint" TIMEOUT 60 SKIP_RETURN_CODE 77)
