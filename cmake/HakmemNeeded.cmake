# The way of linking a malloc library: under --as-needed, which some compilers set by themselves, the linker would drop it
# from a program whose own objects call no malloc. For hakmem's own targets and, installed, for those who link them.
set(CMAKE_LINK_LIBRARY_USING_hakmem_needed
    "LINKER:--push-state,--no-as-needed" "<LINK_ITEM>" "LINKER:--pop-state")
set(CMAKE_LINK_LIBRARY_USING_hakmem_needed_SUPPORTED TRUE)
