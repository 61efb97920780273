/* The least that a client of a stream can do: read, parse the chunks, find the text of each event.
 *
 *     client PORT PATH
 *
 * Posts to http://127.0.0.1:PORT/PATH and prints one line of JSON: its CPU time and wall time, how
 * many events had text, and the bytes of that text. It parses no JSON: the text of an event is what
 * follows "content":" or "text": " up to the next quote, which is correct for the bytes of streams.py
 * and for no others. Prints nothing, and fails, unless the body was complete. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SIZE = 64 * 1024 };

static char input[SIZE], line[SIZE];
static size_t line_length, events, bytes;

static void fail(const char *why) {
    fprintf(stderr, "client: %s\n", why);
    exit(1);
}

static double seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

static int text_behind(const char *start, size_t length, const char *key) {
    const char *at = memmem(start, length, key, strlen(key));
    if (!at) return 0;
    at += strlen(key);
    const char *end = memchr(at, '"', start + length - at);
    if (!end) fail("a text without an end");
    events++;
    bytes += end - at;
    return 1;
}

static void take_line(const char *start, size_t length) {
    if (length < 6 || memcmp(start, "data: ", 6)) return;
    if (!text_behind(start, length, "\"content\":\"")) text_behind(start, length, "\"text\": \"");
}

/* A piece of the body: its lines, including the rest of the last piece. */
static void take(const char *piece, size_t length) {
    const char *end;
    while ((end = memchr(piece, '\n', length))) {
        size_t part = end - piece;
        if (line_length) {
            if (line_length + part > SIZE) fail("a line that is too long");
            memcpy(line + line_length, piece, part);
            take_line(line, line_length + part);
            line_length = 0;
        } else
            take_line(piece, part);
        piece += part + 1;
        length -= part + 1;
    }
    if (line_length + length > SIZE) fail("a line that is too long");
    memcpy(line + line_length, piece, length);
    line_length += length;
}

int main(int argc, char **argv) {
    if (argc != 3) fail("PORT PATH");
    double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID), wall = seconds(CLOCK_MONOTONIC);
    int sock = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(sock, (struct sockaddr *)&address, sizeof address)) fail("can't connect");
    char request[512];
    int wanted = snprintf(request, sizeof request,
        "POST %s HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 2\r\n\r\n{}", argv[2]);
    if (write(sock, request, wanted) != wanted) fail("can't write");

    enum { HEAD, CHUNK_SIZE, SIZE_LF, DATA, DATA_CR, DATA_LF, LAST_CR, LAST_LF, END } state = HEAD;
    const char *blank = "\r\n\r\n";
    size_t matched = 0, left = 0, digits = 0;
    while (state != END) {
        ssize_t count = read(sock, input, SIZE);
        if (count <= 0) fail("the body did not come whole");
        for (char *at = input, *end = input + count; at < end;) {
            if (state == DATA) {
                size_t part = (size_t)(end - at) < left ? (size_t)(end - at) : left;
                take(at, part);
                at += part;
                if (!(left -= part)) state = DATA_CR;
                continue;
            }
            char byte = *at++;
            switch (state) {
            case HEAD:
                matched = byte == blank[matched] ? matched + 1 : byte == '\r';
                if (matched == 4) state = CHUNK_SIZE;
                break;
            case CHUNK_SIZE:
                if (byte == '\r') {
                    if (!digits) fail("a chunk without a size");
                    state = SIZE_LF;
                } else {
                    int digit = byte >= '0' && byte <= '9' ? byte - '0'
                        : byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
                    if (digit < 0 || ++digits > 8) fail("a chunk size that is none");
                    left = left * 16 + digit;
                }
                break;
            case SIZE_LF:
                if (byte != '\n') fail("no line feed");
                digits = 0;
                state = left ? DATA : LAST_CR;
                break;
            case DATA_CR:
                if (byte != '\r') fail("no end of a chunk");
                state = DATA_LF;
                break;
            case DATA_LF:
                if (byte != '\n') fail("no end of a chunk");
                state = CHUNK_SIZE;
                break;
            case LAST_CR:
                if (byte != '\r') fail("trailers");
                state = LAST_LF;
                break;
            case LAST_LF:
                if (byte != '\n') fail("no line feed");
                state = END;
                break;
            default:
                fail("bytes behind the end");
            }
        }
    }
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu, wall = seconds(CLOCK_MONOTONIC) - wall;
    printf("{\"cpu_s\": %.7f, \"wall_s\": %.7f, ", cpu, wall);
    printf("\"events\": %zu, \"bytes\": %zu}\n", events, bytes);
    return 0;
}
