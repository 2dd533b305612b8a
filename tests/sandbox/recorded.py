"""
Keys of payloads and answers that were recorded from Slack, to compare the sandbox's own with.

`LIVE` is what a live workspace sent in 2026 (duqaXxX/code-with-slack, `tests/fixtures/slack`, which leaves secrets
out): the sandbox must send all of it. `EVER` is everything that Slack's Java SDK has ever recorded or models
(slackapi/java-slack-sdk@86ff7ca, `json-logs/samples`): with `LIVE` and `DOCUMENTED` it is all that the sandbox may send.
"""

from __future__ import annotations


def keys(words: str) -> frozenset[str]:
    return frozenset(words.split())


LIVE = {
    # 007-command.json
    "command": keys("team_id team_domain channel_id channel_name user_id user_name command text api_app_id"),
    # 000-block_actions.json, form-open-click.json
    "block_actions": keys("type user api_app_id container team channel message state actions"),
    "block_actions.container": keys("type message_ts channel_id is_ephemeral"),
    "block_actions.action": keys("action_id block_id text value style type action_ts"),
    "user": keys("id username name team_id"),
    # 004-block_suggestion.json
    "block_suggestion": keys("type user container api_app_id action_id block_id value team channel message"),
    # form-submit.json
    "view_submission": keys("type team user api_app_id view response_urls"),
    "view": keys(
        "id team_id type blocks private_metadata callback_id state hash title clear_on_close notify_on_close close submit previous_view_id "
        "root_view_id app_id external_id app_installed_team_id bot_id"
    ),
    # 006-event_callback-message.json
    "event": keys(
        "team_id context_team_id context_enterprise_id api_app_id event type event_id event_time authorizations is_ext_shared_channel event_context"
    ),
    "event.authorization": keys("enterprise_id team_id user_id is_bot"),
    "message": keys("type user ts client_msg_id text team blocks channel event_ts channel_type"),
    # 011-event_callback-message_changed.json
    "message_changed": keys("type subtype message channel hidden ts event_ts channel_type"),
    # api-chat-postMessage.json
    "chat.postMessage": keys("ok channel ts message"),
    "chat.postMessage.message": keys("user type ts bot_id app_id text team bot_profile blocks"),
    "bot_profile": keys("id app_id user_id name icons deleted updated team_id"),
    # api-conversations-info.json
    "channel": keys(
        "id created creator is_org_shared is_im context_team_id updated name name_normalized is_channel is_group is_mpim is_private is_archived "
        "is_general is_shared is_ext_shared unlinked is_pending_ext_shared pending_shared parent_conversation purpose topic shared_team_ids "
        "pending_connected_team_ids is_member"
    ),
    # api-conversations-replies-root.json
    "thread_root": keys(
        "user type ts text team thread_ts reply_count reply_users_count latest_reply reply_users is_locked subscribed reactions"
    ),
    # api-conversations-members.json, api-auth-test.json
    "conversations.members": keys("ok members response_metadata"),
    "auth.test": keys("ok url team user team_id user_id bot_id"),
    # 102-event_callback-file_share-snippet.json
    "file": keys(
        "id created timestamp mimetype filetype pretty_type user user_team editable size mode is_external external_type is_public "
        "public_url_shared display_as_bot username name title url_private url_private_download permalink preview lines lines_more "
        "preview_is_truncated has_rich_preview file_access"
    ),
}

EVER = {
    # app-backend/slash-commands/SlashCommandPayload.json
    "command": keys(
        "token api_app_id team_id team_domain enterprise_id enterprise_name channel_id channel_name user_id user_name command text response_url "
        "trigger_id is_enterprise_install"
    ),
    # app-backend/interactive-components/BlockActionPayload.json
    "block_actions": keys(
        "actions api_app_id app_unfurl bot_access_token channel container enterprise function_data interactivity is_enterprise_install message "
        "response_url state team token trigger_id type user view"
    ),
    "block_actions.container": keys(
        "app_unfurl_url attachment_id channel_id is_app_unfurl is_ephemeral message_ts text thread_ts type view_id"
    ),
    "block_actions.action": keys(
        "action_id action_ts block_id confirm initial_channel initial_conversation initial_date initial_option initial_time initial_user "
        "min_query_length placeholder rich_text_value selected_channel selected_conversation selected_date selected_option selected_time "
        "selected_user style text type url value"
    ),
    # app-backend/interactive-components/MessageShortcutPayload.json
    "message_action": keys(
        "action_ts callback_id channel enterprise is_enterprise_install message message_ts response_url team token trigger_id type user"
    ),
    # app-backend/views/ViewSubmissionPayload.json, ViewClosedPayload.json
    "view_submission": keys(
        "api_app_id bot_access_token enterprise function_data interactivity is_cleared is_enterprise_install team token trigger_id type user view"
    ),
    "view_closed": keys(
        "api_app_id bot_access_token enterprise function_data interactivity is_cleared is_enterprise_install team token type user view"
    ),
    "view": keys(
        "app_id app_installed_team_id bot_id callback_id clear_on_close close external_id hash id notify_on_close previous_view_id "
        "private_metadata root_view_id state submit submit_disabled team_id title type blocks"
    ),
    # events/*.json
    "event": keys(
        "api_app_id authed_teams authed_users authorizations context_enterprise_id context_team_id enterprise_id event event_context event_id "
        "event_time is_ext_shared_channel team_id token type"
    ),
    "event.authorization": keys("enterprise_id is_bot is_enterprise_install team_id user_id"),
    "app_mention": keys(
        "app_id blocks bot_id bot_profile channel client_msg_id display_as_bot edited event_ts source_team subtype team text thread_ts ts type "
        "upload user user_profile user_team username"
    ),
    "app_home_opened": keys("channel event_ts tab type user view"),
    "reaction_added": keys("event_ts item item_user reaction type user"),
    "member_joined_channel": keys("channel channel_type enterprise event_ts inviter team type user"),
    # api/*.json
    "bot_profile": keys("app_id deleted icons id name team_id updated user_id"),
    "users.info": keys(
        "color deleted enterprise_id enterprise_name enterprise_user has_2fa id is_admin is_app_user is_bot is_connector_bot is_email_confirmed "
        "is_invited_user is_owner is_primary_owner is_restricted is_stranger is_ultra_restricted is_workflow_bot locale name profile real_name "
        "team_id teams tz tz_label tz_offset updated who_can_share_contact_card"
    ),
    "usergroups.list": keys(
        "auto_provision channel_count created_by date_create date_delete date_update deleted_by description enterprise_subteam_id handle id "
        "is_editing_restricted is_external is_idp_group is_membership_locked is_org_level is_section is_subteam is_usergroup is_visible name "
        "prefs team_id updated_by user_count users"
    ),
    "channel": keys(
        "connected_limited_team_ids connected_team_ids context_team_id conversation_host_id created creator id internal_team_ids is_archived "
        "is_channel is_ext_shared is_general is_global_shared is_group is_im is_member is_moved is_mpim is_non_threadable is_org_default "
        "is_org_mandatory is_org_shared is_pending_ext_shared is_private is_read_only is_shared is_thread_only last_read locale name "
        "name_normalized num_members pending_connected_team_ids pending_shared previous_names properties purpose shared_team_ids topic unlinked updated"
    ),
    "file": keys(
        "alt_txt channels comments_count created display_as_bot edit_link editable external_type file_access filetype groups has_more_shares "
        "has_rich_preview id ims is_external is_modified_by_ai is_public is_starred lines lines_more media_display_type mimetype mode name "
        "permalink permalink_public pretty_type preview preview_highlight preview_is_truncated public_url_shared shares size timestamp title "
        "url_private url_private_download user user_team username"
    ),
    "bookmark": keys(
        "app_action_id app_id channel_id date_created date_updated emoji entity_id icon_url id last_updated_by_team_id last_updated_by_user_id "
        "link rank shortcut_id title type"
    ),
    "team": keys(
        "avatar_base_url discoverable domain email_domain enterprise_domain enterprise_id enterprise_name icon id is_sfdc_auto_slack is_verified "
        "lob_sales_home_enabled locale name pay_prod_cur sso_provider url"
    ),
    "bots.info": keys("app_id deleted icons id name updated user_id"),
    "auth.test": keys(
        "app_id app_name bot_id enterprise_id error expires_in is_enterprise_install needed ok provided team team_id url user user_id warning"
    ),
    "conversations.history": keys(
        "channel_actions_count channel_actions_ts error has_more latest messages needed ok oldest pin_count provided response_metadata"
    ),
    "conversations.replies": keys("error has_more messages needed ok provided response_metadata"),
    "chat.scheduleMessage": keys(
        "channel error message needed ok post_at provided response_metadata scheduled_message_id"
    ),
    "scheduled": keys("channel_id date_created id post_at text"),
}

DOCUMENTED = {
    # docs.slack.dev: reference/interaction-payloads/*
    "block_suggestion": keys("token enterprise is_enterprise_install view"),
    "view_submission": keys("response_urls"),
    "message_action": keys("api_app_id"),
    "shortcut": keys(
        "type token action_ts team user is_enterprise_install enterprise callback_id trigger_id api_app_id"
    ),
    "event": keys("token"),
    "app_mention": keys("channel_type parent_user_id"),
    "message": keys("thread_ts parent_user_id"),
    "chat.postMessage.message": keys("thread_ts parent_user_id"),
    "thread_root": keys("bot_id app_id bot_profile blocks client_msg_id"),
    "users.info": keys(""),
    "usergroups.list": keys("auto_type"),
}
