#include "shim/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shim/protocol.h"

static uint32_t
read_number (const uint8_t *bytes, size_t size)
{
  uint32_t number = 0;

  for (size_t i = size; i > 0; i--)
    number = number << 8 | bytes[i - 1];
  return number;
}

static void
write_number (uint8_t *bytes, uint64_t number, size_t size)
{
  for (size_t i = 0; i < size; i++)
    bytes[i] = (uint8_t) (number >> (8 * i));
}

void
ts_read_header (const uint8_t *bytes, struct ts_header *header)
{
  header->size = read_number (bytes, 4);
  header->type = (uint16_t) read_number (bytes + 4, 2);
  header->request = read_number (bytes + 8, 4);
}

struct ts_fields
ts_fields_of (const void *bytes, size_t size)
{
  return (struct ts_fields){ .at = bytes, .end = size ? (const uint8_t *) bytes + size : bytes };
}

int
ts_next_field (struct ts_fields *fields, struct ts_field *field)
{
  size_t left = (size_t) (fields->end - fields->at);

  if (left == 0)
    return 0;
  if (left < TS_FIELD_HEADER_SIZE)
    return -EBADMSG;
  field->tag = (uint16_t) read_number (fields->at, 2);
  field->size = read_number (fields->at + 2, 4);
  field->value = fields->at + TS_FIELD_HEADER_SIZE;
  if (field->size > left - TS_FIELD_HEADER_SIZE)
    return -EBADMSG;
  fields->at = field->value + field->size;
  return 1;
}

int
ts_field_string (const struct ts_field *field, const char **string)
{
  if (field->size == 0 || memchr (field->value, '\0', field->size) != field->value + field->size - 1)
    return -EBADMSG;
  *string = (const char *) field->value;
  return 0;
}

int
ts_field_u32 (const struct ts_field *field, uint32_t *number)
{
  if (field->size != 4)
    return -EBADMSG;
  *number = read_number (field->value, 4);
  return 0;
}

int
ts_field_u64 (const struct ts_field *field, uint64_t *number)
{
  if (field->size != 8)
    return -EBADMSG;
  *number = read_number (field->value, 4) | (uint64_t) read_number (field->value + 4, 4) << 32;
  return 0;
}

int
ts_field_bool (const struct ts_field *field, bool *value)
{
  uint32_t number;

  if (ts_field_u32 (field, &number) < 0 || number > 1)
    return -EBADMSG;
  *value = number == 1;
  return 0;
}

/* Room for `size` more bytes, or NULL. */
static uint8_t *
extend (struct ts_buffer *buffer, size_t size)
{
  size_t needed = buffer->size + size;

  if (buffer->failed)
    return NULL;
  if (needed > buffer->room)
    {
      size_t room = needed < 256 ? 256 : needed + needed / 2;
      uint8_t *bytes = realloc (buffer->bytes, room);

      if (!bytes)
        {
          buffer->failed = true;
          return NULL;
        }
      buffer->bytes = bytes;
      buffer->room = room;
    }
  buffer->size = needed;
  return buffer->bytes + needed - size;
}

void
ts_append (struct ts_buffer *buffer, const void *bytes, size_t size)
{
  uint8_t *to = size ? extend (buffer, size) : NULL;

  if (to)
    memcpy (to, bytes, size);
}

static void
put_field (struct ts_buffer *buffer, uint16_t tag, const void *value, size_t size)
{
  uint8_t header[TS_FIELD_HEADER_SIZE];

  write_number (header, tag, 2);
  write_number (header + 2, size, 4);
  ts_append (buffer, header, sizeof header);
  ts_append (buffer, value, size);
}

void
ts_put_u32 (struct ts_buffer *buffer, uint16_t tag, uint32_t number)
{
  uint8_t value[4];

  write_number (value, number, sizeof value);
  put_field (buffer, tag, value, sizeof value);
}

void
ts_put_u64 (struct ts_buffer *buffer, uint16_t tag, uint64_t number)
{
  uint8_t value[8];

  write_number (value, number, sizeof value);
  put_field (buffer, tag, value, sizeof value);
}

void
ts_put_string (struct ts_buffer *buffer, uint16_t tag, const char *string)
{
  put_field (buffer, tag, string, strlen (string) + 1);
}

size_t
ts_begin_frame (struct ts_buffer *buffer, uint16_t type, uint32_t request)
{
  size_t begin = buffer->size;
  uint8_t *header = extend (buffer, TS_HEADER_SIZE);

  if (header)
    {
      memset (header, 0, TS_HEADER_SIZE);
      write_number (header + 4, type, 2);
      write_number (header + 8, request, 4);
    }
  return begin;
}

void
ts_end_frame (struct ts_buffer *buffer, size_t begin)
{
  if (!buffer->failed)
    write_number (buffer->bytes + begin, buffer->size - begin - TS_HEADER_SIZE, 4);
}

size_t
ts_begin_field (struct ts_buffer *buffer, uint16_t tag)
{
  size_t begin = buffer->size;

  put_field (buffer, tag, NULL, 0);
  return begin;
}

void
ts_end_field (struct ts_buffer *buffer, size_t begin)
{
  if (!buffer->failed)
    write_number (buffer->bytes + begin + 2, buffer->size - begin - TS_FIELD_HEADER_SIZE, 4);
}

void
ts_free_buffer (struct ts_buffer *buffer)
{
  free (buffer->bytes);
  *buffer = (struct ts_buffer){ 0 };
}
