// The names of emoji that bots use; others stay as they are written.
const NAMES = `
  white_check_mark ✅ heavy_check_mark ✔️ ballot_box_with_check ☑️ x ❌ negative_squared_cross_mark ❎ warning ⚠️ question ❓ grey_question ❔ exclamation ❗
  grey_exclamation ❕ bangbang ‼️ no_entry ⛔ no_entry_sign 🚫 octagonal_sign 🛑 hourglass ⌛ hourglass_flowing_sand ⏳ stopwatch ⏱️ alarm_clock ⏰
  clock1 🕐 fast_forward ⏩ rewind ⏪ arrow_right ➡️ arrow_left ⬅️ arrow_up ⬆️ arrow_down ⬇️ arrows_counterclockwise 🔄 repeat 🔁 black_square_for_stop ⏹️
  double_vertical_bar ⏸️ arrow_forward ▶️ lock 🔒 unlock 🔓 closed_lock_with_key 🔐 key 🔑 shield 🛡️ red_circle 🔴 large_orange_circle 🟠
  large_yellow_circle 🟡 large_green_circle 🟢 large_blue_circle 🔵 large_purple_circle 🟣 white_circle ⚪ black_circle ⚫ large_red_square 🟥 large_green_square 🟩
  large_yellow_square 🟨 information_source ℹ️ bulb 💡 mag 🔍 mag_right 🔎 memo 📝 pencil ✏️ pencil2 ✏️ page_facing_up 📄 clipboard 📋 file_folder 📁
  open_file_folder 📂 package 📦 paperclip 📎 link 🔗 pushpin 📌 bookmark 🔖 label 🏷️ inbox_tray 📥 outbox_tray 📤 email 📧 envelope ✉️ bell 🔔 no_bell 🔕
  loudspeaker 📢 mega 📣 speech_balloon 💬 thought_balloon 💭 eyes 👀 eye 👁️ wave 👋 raised_hand ✋ hand ✋ raised_hands 🙌 clap 👏 pray 🙏 muscle 💪 point_right 👉
  point_left 👈 point_up ☝️ point_down 👇 thumbsup 👍 +1 👍 thumbsdown 👎 -1 👎 ok_hand 👌 handshake 🤝 bust_in_silhouette 👤 busts_in_silhouette 👥 cop 👮
  robot_face 🤖 ghost 👻 skull 💀 smile 😄 grin 😁 slightly_smiling_face 🙂 wink 😉 thinking_face 🤔 neutral_face 😐 disappointed 😞 cry 😢 sob 😭 tada 🎉
  sparkles ✨ star ⭐ fire 🔥 boom 💥 zap ⚡ rocket 🚀 ambulance 🚑 rotating_light 🚨 construction 🚧 wrench 🔧 hammer 🔨 hammer_and_wrench 🛠️ gear ⚙️ nut_and_bolt 🔩
  computer 💻 desktop_computer 🖥️ satellite 📡 satellite_antenna 📡 electric_plug 🔌 battery 🔋 cloud ☁️ snowflake ❄️ globe_with_meridians 🌐 earth_africa 🌍 whale 🐳 penguin 🐧
  bug 🐛 dog 🐶 cat 🐱 bar_chart 📊 chart_with_upwards_trend 📈 chart_with_downwards_trend 📉 calendar 📅 date 📅 heart ❤️ broken_heart 💔 100 💯 recycle ♻️ wastebasket 🗑️
  test_tube 🧪 microscope 🔬 one 1️⃣ two 2️⃣ three 3️⃣ four 4️⃣ five 5️⃣ new 🆕 ok 🆗 sos 🆘 checkered_flag 🏁 triangular_flag_on_post 🚩 white_large_square ⬜ black_large_square ⬛
`.trim().split(/\s+/);

const EMOJI = new Map();
for (let index = 0; index < NAMES.length; index += 2) EMOJI.set(NAMES[index], NAMES[index + 1]);

export const emoji = (text) => text.replace(/:([a-z0-9_+-]+):/g, (whole, name) => EMOJI.get(name) ?? whole);
