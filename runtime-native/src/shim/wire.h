/* Reading and writing the fields of a frame. Nothing here allocates more than it was sent or trusts a size. */
#ifndef TS_WIRE_H
#define TS_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ts_header
{
  uint32_t size;
  uint16_t type;
  uint32_t request;
};

void ts_read_header (const uint8_t *bytes, struct ts_header *header);

/* The fields that are left to read. */
struct ts_fields
{
  const uint8_t *at;
  const uint8_t *end;
};

struct ts_field
{
  uint16_t tag;
  uint32_t size;
  const uint8_t *value;
};

struct ts_fields ts_fields_of (const void *bytes, size_t size);

/* 1 and the next field, 0 at the end, -EBADMSG when one does not fit. */
int ts_next_field (struct ts_fields *fields, struct ts_field *field);

/* Each returns 0, or -EBADMSG when the value is none of that kind. Strings point into the frame. */
int ts_field_string (const struct ts_field *field, const char **string);
int ts_field_u32 (const struct ts_field *field, uint32_t *number);
int ts_field_u64 (const struct ts_field *field, uint64_t *number);
int ts_field_bool (const struct ts_field *field, bool *value);

/* Bytes that grow. After a failed allocation all appending is without effect and `failed` stays set. */
struct ts_buffer
{
  uint8_t *bytes;
  size_t size;
  size_t room;
  bool failed;
};

void ts_append (struct ts_buffer *buffer, const void *bytes, size_t size);
void ts_put_u32 (struct ts_buffer *buffer, uint16_t tag, uint32_t number);
void ts_put_u64 (struct ts_buffer *buffer, uint16_t tag, uint64_t number);
void ts_put_string (struct ts_buffer *buffer, uint16_t tag, const char *string);

/* Starts a frame or a field whose size is not known yet and returns where it begins; `end` fills the size in. */
size_t ts_begin_frame (struct ts_buffer *buffer, uint16_t type, uint32_t request);
void ts_end_frame (struct ts_buffer *buffer, size_t begin);
size_t ts_begin_field (struct ts_buffer *buffer, uint16_t tag);
void ts_end_field (struct ts_buffer *buffer, size_t begin);

void ts_free_buffer (struct ts_buffer *buffer);

#endif
