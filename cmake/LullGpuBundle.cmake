# The GPU bundle: one folder that can be carried to another Linux machine with an NVIDIA driver and run
# there with nothing installed but the C library: glibc 2.34 where the machine's own C++ runtime is new
# enough (GLIBCXX 3.4.30), else 2.36, which the one in fallback/ asks for.
#
# build/gpu-bundle/bundle is made by the preset gpu-bundle (target gpu_bundle), which also proves that it
# is whole. Builds of all tests make one from the objects that they have anyhow, to prove the same of
# what is in it.

set(lull_bundle_dir ${PROJECT_BINARY_DIR}/bundle)

# For the programs that are linked here once more.
find_package(benchmark REQUIRED)
find_package(CLI11 2.1 REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(GTest REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(cpp-httplib REQUIRED IMPORTED_TARGET cpp-httplib>=0.11)

# lull_bundle_program(<program>): links its objects again, for a folder where everything lies side by
# side. DT_RPATH, because DT_RUNPATH does not hold for what the libraries themselves need.
function(lull_bundle_program program)
  add_executable(bundle_${program} EXCLUDE_FROM_ALL $<TARGET_OBJECTS:${program}>)
  target_link_libraries(bundle_${program} PRIVATE $<TARGET_PROPERTY:${program},LINK_LIBRARIES>)
  target_link_options(bundle_${program} PRIVATE
    LINKER:--disable-new-dtags $<TARGET_PROPERTY:${program},LINK_OPTIONS>)
  get_target_property(name ${program} OUTPUT_NAME)
  if(NOT name)
    set(name ${program})
  endif()
  set_target_properties(bundle_${program} PROPERTIES
    LINKER_LANGUAGE CXX
    OUTPUT_NAME ${name}
    RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bundle-programs
    BUILD_RPATH "$ORIGIN")
endfunction()

# Nothing that needs no GPU. What this build does not have is left out; run-gpu-checks says so.
set(programs "")
set(program_files "")
foreach(program IN ITEMS
    run-gpu-checks lull-cli lull-example-server lull_gpu_tests bench_reset bench_sleep)
  if(TARGET ${program})
    lull_bundle_program(${program})
    list(APPEND programs bundle_${program})
    list(APPEND program_files $<TARGET_FILE:bundle_${program}>)
  endif()
endforeach()

# PyTorch loads it, with the static lull in it where that is how this build has lull.
set(loaded $<TARGET_FILE:lull_backend_cuda>)
if(TARGET lull-torch)
  add_library(bundle_lull-torch MODULE EXCLUDE_FROM_ALL $<TARGET_OBJECTS:lull-torch>)
  target_link_libraries(bundle_lull-torch PRIVATE $<TARGET_PROPERTY:lull-torch,LINK_LIBRARIES>)
  target_link_options(bundle_lull-torch PRIVATE LINKER:--disable-new-dtags)
  set_target_properties(bundle_lull-torch PROPERTIES
    PREFIX "lib"
    LINKER_LANGUAGE CXX
    OUTPUT_NAME lull-torch
    LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bundle-programs
    BUILD_RPATH "$ORIGIN")
  list(APPEND programs bundle_lull-torch)
  list(APPEND loaded $<TARGET_FILE:bundle_lull-torch>)
endif()

get_filename_component(cuda_lib_dir ${lull_cudart_static} DIRECTORY)
file(GLOB cudart ${cuda_lib_dir}/libcudart.so.[0-9][0-9])
if(NOT cudart)
  message(FATAL_ERROR "there is no libcudart.so.NN in ${cuda_lib_dir}")
endif()

add_custom_target(gpu_bundle_folder
  COMMAND ${CMAKE_COMMAND}
    -D destination=${lull_bundle_dir}
    -D "programs=${program_files}"
    -D "modules=${loaded};${cudart}"
    -D files=${PROJECT_SOURCE_DIR}/bench/torch_sleep.py
    -D packages=${PROJECT_SOURCE_DIR}/adapters/python/lull
    -D strip=${CMAKE_STRIP}
    -D source_dir=${PROJECT_SOURCE_DIR}
    -P ${CMAKE_CURRENT_LIST_DIR}/gather_bundle.cmake
  COMMENT "Gathering ${lull_bundle_dir}"
  VERBATIM)
add_dependencies(gpu_bundle_folder ${programs} lull_backend_cuda)

set(lull_check_bundle ${CMAKE_COMMAND}
  -D bundle=${lull_bundle_dir}
  -D root=${PROJECT_BINARY_DIR}/bundle-root
  -D compiler=${CMAKE_CXX_COMPILER}
  -D readelf=${CMAKE_READELF}
  -P ${PROJECT_SOURCE_DIR}/tests/gpu/check_bundle.cmake)
add_custom_target(gpu_bundle
  COMMAND ${lull_check_bundle}
  COMMENT "Running the bundle in an empty root"
  VERBATIM)
add_dependencies(gpu_bundle gpu_bundle_folder)

if(LULL_BUILD_TESTS)
  add_test(NAME gpu_bundle.build COMMAND ${CMAKE_COMMAND}
    --build ${PROJECT_BINARY_DIR} --target gpu_bundle_folder)
  set_tests_properties(gpu_bundle.build PROPERTIES FIXTURES_SETUP gpu_bundle PROCESSORS 2 TIMEOUT 300)
  add_test(NAME gpu_bundle.in_an_empty_root COMMAND ${lull_check_bundle})
  set_tests_properties(gpu_bundle.in_an_empty_root PROPERTIES
    FIXTURES_REQUIRED gpu_bundle
    SKIP_REGULAR_EXPRESSION "SKIPPED: no other root can be entered here")
endif()
