// A library that has MPI's functions, and neither binary interface that we know.
#include <string.h>

int MPI_Get_library_version(char *text, int *len) {
	strcpy(text, "FooMPI 3.1");
	*len = (int)strlen(text);
	return 0;
}
