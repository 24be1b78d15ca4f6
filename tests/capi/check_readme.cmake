# cmake -D readme=... -D examples=a;b -P check_readme.cmake: the README shows the examples as they are.
file(READ ${readme} text)
foreach(example IN LISTS examples)
  file(READ ${example} code)
  string(FIND "${text}" "${code}" at)
  if(at EQUAL -1)
    message(FATAL_ERROR "README.md does not show ${example} as it is")
  endif()
endforeach()
