"""llama.cpp's own server, from the package xllamacpp, in a process of its own.

Takes the GGUF file, threads, cells of the KV cache and slots. Prints its address when it serves, and ends with its
standard input. What is not said here is as that server has it by default, but that it keeps nothing beside its slots.
"""

import sys

import xllamacpp


def main() -> None:
    file, threads, cells, slots = sys.argv[1:]
    params = xllamacpp.CommonParams()
    params.model.path = file
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(threads)
    params.n_ctx, params.n_parallel = int(cells), int(slots)
    params.cache_ram_mib, params.fit_params, params.verbosity = 0, False, 0
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
