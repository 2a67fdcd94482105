# Chat templates: recorded renderings, differential cases, limits, the thinking channel.
as_test(test_template ${CMAKE_CURRENT_LIST_DIR}/test_template.c DEPS as_engine as_base LABELS unit)
