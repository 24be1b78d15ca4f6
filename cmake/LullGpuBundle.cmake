# build/gpu-bundle/bundle: one folder that can be carried to another Linux machine with an NVIDIA driver
# and run there with nothing installed. GoogleTest, fmt and lull itself are in the programs; libraries
# that only come shared lie beside them. The C++ runtime is the machine's own when that is new enough
# (GLIBCXX 3.4.30, glibc 2.34: a statically linked one would need a newer C library, 2.36), else the one
# in fallback/.

if(NOT TARGET lull_gpu_tests)
  message(FATAL_ERROR "LULL_GPU_BUNDLE needs CUDA with its static runtime (libcudart_static.a)")
endif()

set(bundle ${PROJECT_BINARY_DIR}/bundle)
get_filename_component(cuda_lib_dir ${lull_cudart_static} DIRECTORY)
file(GLOB cudart ${cuda_lib_dir}/libcudart.so.[0-9][0-9])
if(NOT cudart)
  message(FATAL_ERROR "there is no libcudart.so.NN in ${cuda_lib_dir}")
endif()

# The file behind a library's name, under the name that programs ask for.
function(find_shared_library result soname)
  execute_process(COMMAND ${CMAKE_CXX_COMPILER} -print-file-name=${soname}
    OUTPUT_VARIABLE file OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(NOT IS_ABSOLUTE "${file}")
    message(FATAL_ERROR "${soname} was not found")
  endif()
  set(${result} ${file} PARENT_SCOPE)
endfunction()
find_shared_library(stdcxx_library libstdc++.so.6)
find_shared_library(gcc_library libgcc_s.so.1)

# Found in bench/, whose imported targets are its own.
find_package(benchmark REQUIRED)
# Under the name that programs ask for, whatever the version of the package.
set(benchmark_library $<TARGET_SONAME_FILE:benchmark::benchmark>)

get_property(bench_targets DIRECTORY ${PROJECT_SOURCE_DIR}/bench PROPERTY BUILDSYSTEM_TARGETS)
set(programs lull_gpu_tests lull-cli lull-example-server ${bench_targets})
set(copies "")
foreach(program IN LISTS programs)
  list(APPEND copies
    COMMAND ${CMAKE_COMMAND} -E copy $<TARGET_FILE:${program}> ${bundle}/
    COMMAND ${CMAKE_STRIP} --strip-debug ${bundle}/$<TARGET_FILE_NAME:${program}>)
endforeach()

add_custom_target(gpu_bundle
  COMMAND ${CMAKE_COMMAND} -E rm -rf ${bundle}
  COMMAND ${CMAKE_COMMAND} -E make_directory ${bundle}/fallback
  ${copies}
  COMMAND ${CMAKE_COMMAND} -E copy $<TARGET_FILE:lull_backend_cuda> ${bundle}/
  COMMAND ${CMAKE_COMMAND} -E copy ${cudart} ${benchmark_library} ${bundle}/
  COMMAND ${CMAKE_COMMAND} -E copy ${stdcxx_library} ${gcc_library} ${bundle}/fallback/
  COMMAND ${CMAKE_COMMAND} -E copy ${PROJECT_SOURCE_DIR}/tests/gpu/run-gpu-checks
    ${PROJECT_SOURCE_DIR}/bench/torch_sleep.py ${bundle}/
  COMMENT "Gathering ${bundle}"
  VERBATIM)
add_dependencies(gpu_bundle ${programs} lull_backend_cuda)
