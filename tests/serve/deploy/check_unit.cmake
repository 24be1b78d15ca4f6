# Lets systemd verify UNIT, with PROGRAM in the place of the installed one, which is not there.
file(READ ${UNIT} text)
string(REPLACE "/usr/bin/lull-serve" "${PROGRAM}" text "${text}")
file(WRITE ${FOLDER}/lull-serve.service "${text}")
execute_process(COMMAND ${ANALYZE} verify ${FOLDER}/lull-serve.service
  RESULT_VARIABLE status OUTPUT_VARIABLE words ERROR_VARIABLE words)
if(NOT status EQUAL 0 OR NOT words STREQUAL "")
  message(FATAL_ERROR "systemd-analyze verify ends with ${status}:\n${words}")
endif()
