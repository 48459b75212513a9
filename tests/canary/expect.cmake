# cmake -DPROGRAM= -DFAULT= -DSAYS= -P: the program ends well without a fault, and with it badly,
# saying why.
execute_process(COMMAND "${PROGRAM}" none RESULT_VARIABLE code OUTPUT_VARIABLE said ERROR_VARIABLE said)
if(NOT code EQUAL 0)
  message(FATAL_ERROR "without a fault it ended with ${code}:\n${said}")
endif()
execute_process(COMMAND "${PROGRAM}" "${FAULT}" RESULT_VARIABLE code OUTPUT_VARIABLE said
                                                                     ERROR_VARIABLE said)
if(code EQUAL 0 OR NOT said MATCHES "${SAYS}")
  message(FATAL_ERROR "'${SAYS}' was not said, or the process went on; ended with ${code}:\n${said}")
endif()
