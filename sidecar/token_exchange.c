// SPDX-License-Identifier: Apache-2.0
#include "sidecar/token_exchange.h"

#include <fcntl.h>
#include <string.h>

#include "common/buf.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/credential.h"

int token_exchange_read(struct buf *ret_token, const char *path, struct error *err)
{
    CLEANUP(buf_done) struct buf text = BUF_SECRET(CREDENTIAL_TEXT_MAX);
    if (buf_read_file(&text, AT_FDCWD, path, err) < 0)
        return error_wrap(err, "token '%s'", path);
    while (text.size > 0 && strchr("\r\n", text.data[text.size - 1]))
        text.size--;
    if (text.size == 0 || credential_set(ret_token, "the token", text.data, text.size, err) < 0)
        return error_set(err, ERROR_PERMANENT, "token '%s': the file holds no token", path);
    return 0;
}

int token_exchange_add(struct buf *form, const char *name, const char *value, struct error *err)
{
    CLEANUP(own_freep) char *encoded = text_percent(value, false);
    int result = buf_format(form, err, "%s%s=%s", form->size > 0 ? "&" : "", name, encoded);
    buf_wipe(encoded, strlen(encoded));
    return result;
}

bool token_exchange_is_safe(const char *url)
{
    static const char *const hosts[] = {"169.254.170.2",  "169.254.170.23", "localhost",
                                        "[fd00:ec2::23]", "127.0.0.1",      "[::1]"};
    if (!text_starts_with(url, "http://"))
        return text_starts_with(url, "https://");
    const char *host = url + strlen("http://");
    if (memchr(host, '@', strcspn(host, "/?#"))) /* what is before it is no host */
        return false;
    size_t size = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/?#");
    for (size_t i = 0; i < ARRAY_SIZE(hosts); i++)
        if (strlen(hosts[i]) == size && memcmp(host, hosts[i], size) == 0)
            return true;
    return false;
}
