#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>
static void slow(void){ const char*m=getenv("FSYNC_DELAY_US"); if(m) usleep(atoi(m)); }
int fsync(int fd){ static int(*r)(int); if(!r) r=dlsym(RTLD_NEXT,"fsync"); slow(); return r(fd);}
int fdatasync(int fd){ static int(*r)(int); if(!r) r=dlsym(RTLD_NEXT,"fdatasync"); slow(); return r(fd);}
