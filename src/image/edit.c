// SPDX-License-Identifier: Apache-2.0
#include "image/edit.h"

#include "image/manifest.h"

json_t *edit_object(json_t *parent, const char *key)
{
	json_t *v = json_object_get(parent, key);

	if (json_is_object(v))
		return v;
	v = json_object();
	json_object_set_new(parent, key, v);
	return v;
}

int edit_add_layer(json_t *config, size_t layers, const char *diff_id, const char *by,
		   struct err *e)
{
	json_t *diffs = json_object_get(edit_object(config, "rootfs"), "diff_ids");
	json_t *history = json_object_get(config, "history");

	if (!json_is_array(diffs) || json_array_size(diffs) != layers)
		return err_set(e, ERR_INVALID,
			       "the base's configuration does not fit its %zu layers", layers);
	if (layers >= MANIFEST_LAYERS_MAX)
		return err_set(e, ERR_LIMIT, "the base has %zu layers already", layers);
	json_array_append_new(diffs, json_string(diff_id));
	if (json_is_array(history))
		json_array_append_new(history, json_pack("{s:s,s:s}", "created",
							 "1970-01-01T00:00:00Z", "created_by", by));
	return 0;
}
