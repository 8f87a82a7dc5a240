<%@ WebHandler Class="samples::Upload, upload" %>
